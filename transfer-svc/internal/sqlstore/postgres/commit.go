package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore/portable"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// Commit implements transfer.Store in two or three round trips, whatever the number of changes. The first sends the creations,
// steps and releases. The second, which is left out if there is nothing to send, reads the transfers that existed already
// and adds the events. The last commits.
func (s *Store) Commit(ctx context.Context, changes transfer.Changes) (done transfer.Committed, err error) {
	err = s.db.InPipeline(ctx, func(p *sqldb.Pipeline) error {
		created, to, now := map[string]time.Time{}, map[string]portable.Moved{}, s.db.Now()
		first := p.Batch()
		queueCreates(first, now, changes.Creates, created)
		queueSteps(first, now, changes.Steps, to)
		queueReleases(first, now, changes.Releases)
		if err := p.Send(ctx, first); err != nil {
			return fmt.Errorf("creating transfers and moving them on: %w", err)
		}
		done = transfer.Committed{}
		var completed []portable.Completion
		done.Stepped, completed = portable.Applied(changes.Steps, to)
		messages, err := portable.Events(completed)
		if err != nil {
			return err
		}
		present := map[portable.RequestKey]transfer.Transfer{}
		second := p.Batch()
		queuePresent(second, now, changes.Creates, created, present)
		if err := s.outbox.Queue(second, now, messages); err != nil {
			return err
		}
		if second.Len() > 0 {
			if err := p.Send(ctx, second); err != nil {
				return fmt.Errorf("looking up transfers and adding events: %w", err)
			}
		}
		done.Created = portable.Stored(changes.Creates, created, present)
		return nil
	})
	if err != nil {
		return transfer.Committed{}, err
	}
	return done, nil
}

// queueCreates inserts the transfers whose key is new and puts their times into created by id. All replicas insert in the order of
// the keys, so that they do not deadlock.
func queueCreates(batch *pgx.Batch, now string, transfers []transfer.Transfer, created map[string]time.Time) {
	if len(transfers) == 0 {
		return
	}
	rows := make([][]any, len(transfers))
	for i, t := range transfers {
		rows[i] = portable.NewValues(t)
	}
	batch.Queue(portable.InsertFrom(now)+`unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::bigint[])
			AS new (`+portable.NewColumns+`) ORDER BY origin_account_id, request_id`+portable.UnlessPresent+" RETURNING id, created_at", sqldb.Columns(rows)...).
		Query(func(rows pgx.Rows) error {
			var id string
			var at int64
			_, err := pgx.ForEachRow(rows, []any{&id, &at}, func() error {
				created[id] = sqldb.Time(at)
				return nil
			})
			return err
		})
}

// selectPresent has a LIMIT, by which PostgreSQL looks up each key by itself. Otherwise it could read a whole index to join it.
func selectPresent(now string) string {
	return "SELECT " + portable.Columns(now) + ` FROM unnest($1::text[], $2::text[]) AS key (account, request) CROSS JOIN LATERAL (
		SELECT * FROM transfers WHERE origin_account_id = key.account AND request_id = key.request LIMIT 1) AS present`
}

// queuePresent reads, for each transfer that was not created, the older transfer that has its key.
func queuePresent(batch *pgx.Batch, now string, transfers []transfer.Transfer, created map[string]time.Time,
	present map[portable.RequestKey]transfer.Transfer) {
	var accounts, requests []string
	for _, t := range transfers {
		if _, ok := created[t.ID]; !ok {
			accounts, requests = append(accounts, t.Origin.AccountID), append(requests, t.RequestID)
		}
	}
	if len(accounts) == 0 {
		return
	}
	batch.Queue(selectPresent(now), accounts, requests).
		Query(func(rows pgx.Rows) error {
			for rows.Next() {
				t, err := portable.Scan(rows)
				if err != nil {
					return err
				}
				present[portable.KeyOf(t)] = t
			}
			return rows.Err()
		})
}

// queueSteps makes each step whose transfer is still in the state From, and puts the moved transfers into to by id. = ANY repeats
// what the join says: without it PostgreSQL could read a whole index to join it (docs/adr/0039).
func queueSteps(batch *pgx.Batch, now string, steps []transfer.Step, to map[string]portable.Moved) {
	if len(steps) == 0 {
		return
	}
	rows := make([][]any, len(steps))
	for i, s := range steps {
		rows[i] = portable.StepValues(s)
	}
	batch.Queue(`UPDATE transfers SET `+portable.SetStep(now)+`
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS step (`+portable.StepColumns+`)
		WHERE transfers.id = ANY($1) AND transfers.id = step.id AND transfers.state = step.from_state
		RETURNING transfers.id, transfers.state, transfers.updated_at`, sqldb.Columns(rows)...).
		Query(func(rows pgx.Rows) error {
			var id, state string
			var at int64
			_, err := pgx.ForEachRow(rows, []any{&id, &state, &at}, func() error {
				to[id] = portable.Moved{State: transfer.State(state), At: sqldb.Time(at)}
				return nil
			})
			return err
		})
}

// releaseLeases recognizes an unfinished transfer by its state. If it tested lease_until, PostgreSQL could choose the
// index of unfinished transfers while statistics are old, and read all of them to release a few.
func releaseLeases(now string) string {
	return `UPDATE transfers SET lease_until = ` + now + ` + release.pause
	FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS release (id, claims, pause)
	WHERE transfers.id = ANY($1) AND transfers.id = release.id AND transfers.claims = release.claims AND transfers.state NOT IN ('COMPLETED', 'FAILED')`
}

func queueReleases(batch *pgx.Batch, now string, releases []transfer.Release) {
	if len(releases) == 0 {
		return
	}
	rows := make([][]any, len(releases))
	for i, r := range releases {
		rows[i] = []any{r.ID, r.Claims, r.Pause.Microseconds()}
	}
	batch.Queue(releaseLeases(now), sqldb.Columns(rows)...)
}
