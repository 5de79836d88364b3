//go:build backends

package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// A commit, recovery, the outbox and a customer's queries read only their own rows, whatever the tables held when PostgreSQL
// planned their statements.
func TestOutgrownPlans(t *testing.T) {
	sqldbtest.Outgrown{
		Migrations: sqlstore.Migrations(),
		Grow: []string{
			fmt.Sprintf(`INSERT INTO transfers (id, request_id, fingerprint, origin_account_id, origin_account_number, destination_account_number,
				amount, state, created_at, updated_at, completed_at, lease_until, claims)
				SELECT 'z' || i, 'z' || i, 'f', 'a' || i, i::text, (i + 1)::text, 1, CASE WHEN i %% 2 = 0 THEN 'PENDING' ELSE 'COMPLETED' END,
					i, i, CASE WHEN i %% 2 = 1 THEN i END, CASE WHEN i %% 2 = 0 THEN 9e18::bigint END, 0
				FROM generate_series(1, %d) AS i`, sqldbtest.Grown),
			fmt.Sprintf(`INSERT INTO outbox (id, topic, partition_key, payload, created_at, claimed_until)
				SELECT 'z' || i, 't', 'k', '{}', 0, 0 FROM generate_series(1, %d) AS i`, sqldbtest.Grown),
		},
		Use: use,
		Keep: func(n int) []string {
			return []string{fmt.Sprintf(`INSERT INTO outbox (id, topic, partition_key, payload, created_at, claimed_until)
				SELECT 'kept' || i, 't', 'k', '{}', 0, 9e18::bigint FROM generate_series(1, %d) AS i`, n)}
		},
	}.ReadsByKey(t)
}

func use(t *testing.T, db *sqldb.DB) func(round int) {
	store, relay := sqlstore.New(db), outbox.NewRelay(db, broker{}, "pubsub")
	commit := func(changes transfer.Changes) {
		t.Helper()
		if _, err := store.Commit(t.Context(), changes); err != nil {
			t.Fatal(err)
		}
	}
	return func(int) {
		var begin, debit, end transfer.Changes
		for range 10 {
			id := uuid.Must(uuid.NewV7()).String()
			pending := transfer.Transfer{
				ID: id, RequestID: id, Fingerprint: "f", Origin: transfer.Party{AccountID: id, AccountNumber: "11"},
				Destination: id, Amount: 100, State: transfer.Pending,
			}
			debited, completed := pending, pending
			debited.State, completed.State = transfer.Debited, transfer.Completed
			begin.Creates = append(begin.Creates, pending)
			debit.Steps = append(debit.Steps, transfer.Step{From: transfer.Pending, After: debited})
			debit.Releases = append(debit.Releases, transfer.Release{ID: id, Claims: 1})
			end.Steps = append(end.Steps, transfer.Step{From: transfer.Debited, After: completed})
		}
		commit(begin)
		commit(begin) // finds the older transfers
		claimed, err := store.Claim(t.Context(), time.Minute, 20)
		if err != nil || len(claimed) != 10 {
			t.Fatal(len(claimed), err)
		}
		commit(debit)
		commit(end)
		one := begin.Creates[0]
		if _, err := store.Transfer(t.Context(), one.ID); err != nil {
			t.Fatal(err)
		}
		if page, err := store.List(t.Context(), one.Origin, "zz", 10); err != nil || len(page) == 0 {
			t.Fatal(len(page), err)
		}
		if _, err := relay.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// broker confirms every event.
type broker struct{}

func (broker) Publish(context.Context, string, string, []sidecar.Event) (map[string]bool, error) {
	return nil, nil
}
