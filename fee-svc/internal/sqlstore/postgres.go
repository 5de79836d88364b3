package sqlstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// addPostgres is addSQLite in two round trips.
func (s *Store) addPostgres(ctx context.Context, fees []fee.Fee) (inserted map[string]bool, err error) {
	if len(fees) == 0 {
		return nil, nil
	}
	rows := make([][]any, len(fees))
	for i, f := range fees {
		rows[i] = insertValues(f)
	}
	err = s.db.InPipeline(ctx, func(p *sqldb.Pipeline) error {
		inserted = make(map[string]bool, len(fees))
		batch := p.Batch()
		// All replicas insert in the same orders, so that they do not deadlock.
		batch.Queue(`
			WITH added AS (
				INSERT INTO fees (`+insertColumns+`)
				SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bigint[], $8::bigint[])
					AS f (`+insertColumns+`) ORDER BY transfer_id
				ON CONFLICT (transfer_id) DO NOTHING RETURNING id, account_number, status, created_at
			), owing AS (
				INSERT INTO debtors (account_number, due_at)
				SELECT account_number, min(created_at) FROM added WHERE status = 'PENDING' GROUP BY account_number ORDER BY account_number
				`+makeDebtor+`
			)
			SELECT id FROM added`, sqldb.Columns(rows)...).
			Query(func(rows pgx.Rows) error {
				var id string
				_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
					inserted[id] = true
					return nil
				})
				return err
			})
		return p.Send(ctx, batch)
	})
	return inserted, err
}

const updateSettled = "UPDATE fees SET " + setNext + `
	FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])
		AS next (` + nextColumns + ") WHERE " + settledFees + " RETURNING " + returnedColumns

const selectOwedPostgres = "SELECT " + returnedColumns + `, fees.attempt, fees.unknowns
	FROM unnest($1::text[]) AS debtor (number) CROSS JOIN LATERAL (
		SELECT * FROM fees WHERE account_number = debtor.number AND ` + owing + ` ORDER BY id LIMIT $2) AS fees
	ORDER BY fees.id`

// settlePostgres is settleSQLite in three round trips.
func (s *Store) settlePostgres(ctx context.Context, now time.Time, settlements []fee.Settlement, releases []fee.Release) (settled []fee.Fee, err error) {
	if len(settlements) == 0 && len(releases) == 0 {
		return nil, nil
	}
	err = s.db.InPipeline(ctx, func(p *sqldb.Pipeline) error {
		settled = nil
		update := p.Batch()
		queueSettlements(update, now, settlements, &settled)
		queueReleases(update, releases)
		if err := p.Send(ctx, update); err != nil {
			return err
		}
		messages, err := events(settled)
		if err != nil || len(messages) == 0 {
			return err
		}
		announce := p.Batch()
		if err := outbox.Queue(announce, now, messages); err != nil {
			return err
		}
		return p.Send(ctx, announce)
	})
	return settled, err
}

func queueSettlements(batch *pgx.Batch, now time.Time, settlements []fee.Settlement, settled *[]fee.Fee) {
	if len(settlements) == 0 {
		return
	}
	rows := make([][]any, len(settlements))
	for i, s := range settlements {
		rows[i] = nextValues(s, now)
	}
	batch.Queue(updateSettled, sqldb.Columns(rows)...).
		Query(func(rows pgx.Rows) error {
			for rows.Next() {
				f, err := scanFee(rows)
				if err != nil {
					return err
				}
				*settled = append(*settled, f)
			}
			return rows.Err()
		})
}

// queueReleases locks the debtors first. A transaction that adds a fee locks the debtor, too (makeDebtor). So the statements
// after the lock see every fee of each debtor that was committed before.
func queueReleases(batch *pgx.Batch, releases []fee.Release) {
	if len(releases) == 0 {
		return
	}
	rows := make([][]any, len(releases))
	for i, r := range releases {
		rows[i] = releaseValues(r)
	}
	numbers := accounts(releases)
	batch.Queue("SELECT account_number FROM debtors WHERE account_number = ANY($1) ORDER BY account_number FOR UPDATE", numbers)
	batch.Queue("DELETE FROM debtors WHERE account_number = ANY($1) AND "+owesNothing, numbers)
	batch.Queue(updateReleased, sqldb.Columns(rows)...)
}

const updateReleased = "UPDATE debtors SET " + setReleased + `
	FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::boolean[]) AS next (` + releaseColumns + ") WHERE " + released
