package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore/portable"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// Add implements fee.Store in two round trips.
func (s *Store) Add(ctx context.Context, fees []fee.Fee) ([]bool, error) {
	if len(fees) == 0 {
		return nil, nil
	}
	var inserted map[string]bool
	rows := make([][]any, len(fees))
	for i, f := range fees {
		rows[i] = portable.NewValues(f)
	}
	err := s.db.InPipeline(ctx, func(p *sqldb.Pipeline) error {
		inserted = make(map[string]bool, len(fees))
		batch, now := p.Batch(), s.db.Now()
		// All replicas insert in the same orders, so that they do not deadlock.
		batch.Queue(`
			WITH added AS (
				`+portable.InsertFrom(now)+`unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[])
					AS new (`+portable.NewColumns+`) ORDER BY transfer_id`+portable.UnlessPresent+`
				RETURNING id, account_number, status
			), owing AS (
				INSERT INTO debtors (account_number, due_at)
				SELECT DISTINCT account_number, `+now+` FROM added WHERE status = 'PENDING' ORDER BY account_number
				`+portable.MakeDebtor+`
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
	if err != nil {
		return nil, fmt.Errorf("adding fees: %w", err)
	}
	return portable.Added(fees, inserted), nil
}

// updateSettled repeats by = ANY what its join says. Otherwise PostgreSQL could read a whole index to join it (docs/adr/0039).
func updateSettled(now string) string {
	return "UPDATE fees SET " + portable.SetNext(now) + `
	FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
		AS next (` + portable.NextColumns + ") WHERE fees.id = ANY($1) AND " + portable.SettledFees + " RETURNING " + portable.ReturnedColumns
}

// Settle implements fee.Queue in three round trips.
func (s *Store) Settle(ctx context.Context, settlements []fee.Settlement, releases []fee.Release) ([]fee.Settlement, error) {
	if len(settlements) == 0 && len(releases) == 0 {
		return nil, nil
	}
	var settled []fee.Fee
	err := s.db.InPipeline(ctx, func(p *sqldb.Pipeline) error {
		settled = nil
		update, now := p.Batch(), s.db.Now()
		queueSettlements(update, now, settlements, &settled)
		queueReleases(update, now, releases)
		if err := p.Send(ctx, update); err != nil {
			return err
		}
		messages, err := portable.Events(settled)
		if err != nil || len(messages) == 0 {
			return err
		}
		announce := p.Batch()
		if err := s.outbox.Queue(announce, now, messages); err != nil {
			return err
		}
		return p.Send(ctx, announce)
	})
	if err != nil {
		return nil, fmt.Errorf("settling fees: %w", err)
	}
	return portable.Settled(settlements, settled), nil
}

func queueSettlements(batch *pgx.Batch, now string, settlements []fee.Settlement, settled *[]fee.Fee) {
	if len(settlements) == 0 {
		return
	}
	rows := make([][]any, len(settlements))
	for i, s := range settlements {
		rows[i] = portable.NextValues(s)
	}
	batch.Queue(updateSettled(now), sqldb.Columns(rows)...).
		Query(func(rows pgx.Rows) error {
			for rows.Next() {
				f, err := portable.ScanFee(rows)
				if err != nil {
					return err
				}
				*settled = append(*settled, f)
			}
			return rows.Err()
		})
}

// queueReleases locks the debtors first. A transaction that adds a fee locks the debtor, too (portable.MakeDebtor). So the statements
// after the lock see every fee of each debtor that was committed before.
func queueReleases(batch *pgx.Batch, now string, releases []fee.Release) {
	if len(releases) == 0 {
		return
	}
	rows := make([][]any, len(releases))
	for i, r := range releases {
		rows[i] = portable.ReleaseValues(r)
	}
	numbers := portable.Accounts(releases)
	batch.Queue("SELECT account_number FROM debtors WHERE account_number = ANY($1) ORDER BY account_number FOR UPDATE", numbers)
	batch.Queue("DELETE FROM debtors WHERE account_number = ANY($1) AND "+portable.OwesNothing, numbers)
	batch.Queue(updateReleased(now), sqldb.Columns(rows)...)
}

// updateReleased repeats by = ANY what its join says, as updateSettled does.
func updateReleased(now string) string {
	return "UPDATE debtors SET " + portable.SetReleased(now) + `
	FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::boolean[]) AS next (` + portable.ReleaseColumns + ") WHERE debtors.account_number = ANY($1) AND " + portable.Released
}
