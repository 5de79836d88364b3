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
		batch.Queue("INSERT INTO fees ("+insertColumns+`)
			SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bigint[], $8::bigint[])
				AS f (`+insertColumns+`) ORDER BY transfer_id -- the same for everybody, so that nobody waits in a circle
			ON CONFLICT (transfer_id) DO NOTHING RETURNING id`, sqldb.Columns(rows)...).
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
	FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
		AS next (` + nextColumns + ") WHERE " + settledFees + " RETURNING " + returnedColumns

// settlePostgres is settleSQLite in three round trips.
func (s *Store) settlePostgres(ctx context.Context, now time.Time, settlements []fee.Settlement) (settled []fee.Fee, err error) {
	if len(settlements) == 0 {
		return nil, nil
	}
	rows := make([][]any, len(settlements))
	for i, s := range settlements {
		rows[i] = nextValues(s, now)
	}
	err = s.db.InPipeline(ctx, func(p *sqldb.Pipeline) error {
		settled = nil
		update := p.Batch()
		update.Queue(updateSettled, sqldb.Columns(rows)...).
			Query(func(rows pgx.Rows) error {
				for rows.Next() {
					f, err := scanFee(rows)
					if err != nil {
						return err
					}
					settled = append(settled, f)
				}
				return rows.Err()
			})
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
