package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// commitPostgres is Commit in two or three round trips, whatever the number of changes. The first sends the creations,
// steps and releases. The second, which is left out if there is nothing to send, reads the transfers that existed already
// and adds the events. The last commits.
func (s *Store) commitPostgres(ctx context.Context, changes transfer.Changes) (done transfer.Committed, err error) {
	err = s.db.InPipeline(ctx, func(p *sqldb.Pipeline) error {
		created, moved := map[string]bool{}, map[string]transfer.State{}
		first := p.Batch()
		queueCreates(first, changes.Creates, created)
		queueSteps(first, changes.Steps, moved)
		queueReleases(first, changes.Releases)
		if err := p.Send(ctx, first); err != nil {
			return fmt.Errorf("creating transfers and moving them on: %w", err)
		}
		done = transfer.Committed{}
		var completed []transfer.Transfer
		done.Stepped, completed = applied(changes.Steps, moved)
		messages, err := events(completed)
		if err != nil {
			return err
		}
		present := map[requestKey]transfer.Transfer{}
		second := p.Batch()
		queuePresent(second, changes.Creates, created, present)
		if err := outbox.Queue(second, time.Now(), messages); err != nil {
			return err
		}
		if second.Len() > 0 {
			if err := p.Send(ctx, second); err != nil {
				return fmt.Errorf("looking up transfers and adding events: %w", err)
			}
		}
		for _, t := range changes.Creates {
			if !created[t.ID] {
				t = present[keyOf(t)]
			}
			done.Created = append(done.Created, t)
		}
		return nil
	})
	if err != nil {
		return transfer.Committed{}, err
	}
	return done, nil
}

// queueCreates inserts the transfers whose key is new and puts their ids into created. All replicas insert in the order of
// the keys, so that they do not deadlock.
func queueCreates(batch *pgx.Batch, transfers []transfer.Transfer, created map[string]bool) {
	if len(transfers) == 0 {
		return
	}
	rows := make([][]any, len(transfers))
	for i, t := range transfers {
		rows[i] = values(t)
	}
	batch.Queue("INSERT INTO transfers ("+columns+`)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[],
			$9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[])
			AS t (`+columns+`) ORDER BY origin_account_id, request_id
		ON CONFLICT (origin_account_id, request_id) DO NOTHING RETURNING id`, sqldb.Columns(rows)...).
		Query(func(rows pgx.Rows) error {
			var id string
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
				created[id] = true
				return nil
			})
			return err
		})
}

// queuePresent reads, for each transfer that was not created, the older transfer that has its key.
func queuePresent(batch *pgx.Batch, transfers []transfer.Transfer, created map[string]bool, present map[requestKey]transfer.Transfer) {
	var accounts, requests []string
	for _, t := range transfers {
		if !created[t.ID] {
			accounts, requests = append(accounts, t.Origin.AccountID), append(requests, t.RequestID)
		}
	}
	if len(accounts) == 0 {
		return
	}
	batch.Queue("SELECT "+columns+" FROM transfers WHERE (origin_account_id, request_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
		accounts, requests).
		Query(func(rows pgx.Rows) error {
			for rows.Next() {
				t, err := scan(rows)
				if err != nil {
					return err
				}
				present[keyOf(t)] = t
			}
			return rows.Err()
		})
}

// queueSteps makes each step whose transfer is still in the state From, and puts the new states into moved by id.
func queueSteps(batch *pgx.Batch, steps []transfer.Step, moved map[string]transfer.State) {
	if len(steps) == 0 {
		return
	}
	rows := make([][]any, len(steps))
	for i, s := range steps {
		rows[i] = stepValues(s)
	}
	batch.Queue(`UPDATE transfers SET `+setStep+`
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bool[])
			AS step (`+stepColumns+`)
		WHERE transfers.id = step.id AND transfers.state = step.from_state
		RETURNING transfers.id, transfers.state`, sqldb.Columns(rows)...).
		Query(func(rows pgx.Rows) error {
			var id, state string
			_, err := pgx.ForEachRow(rows, []any{&id, &state}, func() error {
				moved[id] = transfer.State(state)
				return nil
			})
			return err
		})
}

// releaseLeases recognizes an unfinished transfer by its state. If it tested lease_until, PostgreSQL could choose the
// index of unfinished transfers while statistics are old, and read all of them to release a few.
const releaseLeases = `UPDATE transfers SET lease_until = release.until
	FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS release (id, claims, until)
	WHERE transfers.id = release.id AND transfers.claims = release.claims AND transfers.state NOT IN ('COMPLETED', 'FAILED')`

func queueReleases(batch *pgx.Batch, releases []transfer.Release) {
	if len(releases) == 0 {
		return
	}
	rows := make([][]any, len(releases))
	for i, r := range releases {
		rows[i] = []any{r.ID, r.Claims, sqldb.Micros(r.Until)}
	}
	batch.Queue(releaseLeases, sqldb.Columns(rows)...)
}
