package sqlstore_test

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/accountapi/accounttest"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
	"github.com/bankmore/bankmore/transfer-svc/internal/groupcommit"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore/portable"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore/storetest"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

type store struct {
	sqlstore.Store
	db *sqldb.DB
}

func open(t testing.TB, engine sqldbtest.Engine) store {
	t.Helper()
	db := engine.Open(t, sqlstore.Migrations())
	return store{sqlstore.New(db), db}
}

// SetClock implements storetest.Store.
func (s store) SetClock(clock func() time.Time) { s.db.SetClock(clock) }

// Events implements storetest.Store.
func (s store) Events(t *testing.T) map[string]string {
	t.Helper()
	rows, err := s.db.Read().QueryContext(t.Context(),
		"SELECT id, payload FROM outbox WHERE topic = 'transfers-completed' AND partition_key = '11'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	events := map[string]string{}
	for rows.Next() {
		var id, payload string
		if err := rows.Scan(&id, &payload); err != nil {
			t.Fatal(err)
		}
		events[id] = payload
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return events
}

func TestStore(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, engine sqldbtest.Engine) {
		storetest.Run(t, func(t *testing.T) storetest.Store { return open(t, engine) })
	})
}

func TestStoreAfterTheNextMigration(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, engine sqldbtest.Engine) {
		storetest.Run(t, func(t *testing.T) storetest.Store {
			db := engine.OpenExpanded(t, sqlstore.Migrations())
			return store{sqlstore.New(db), db}
		})
	})
}

// exec runs statements in one transaction and returns its error.
func (s store) exec(ctx context.Context, statements ...string) error {
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		for _, statement := range statements {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

var began = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// The ledger's answers to a leg.
var applied, refusal = accountapi.Outcome{}, accountapi.Outcome{Refusal: &accountapi.Refusal{Type: "T", Message: "M"}}

// with returns a store with one transfer, in the state to which the answers lead. Its clock stands still at began.
func with(t *testing.T, engine sqldbtest.Engine, answers ...accountapi.Outcome) store {
	t.Helper()
	s := open(t, engine)
	s.db.SetClock(func() time.Time { return began })
	tr := transfer.Transfer{
		ID: uuid.Must(uuid.NewV7()).String(), RequestID: "1", Fingerprint: "f", Origin: transfer.Party{AccountID: "a", AccountNumber: "11"},
		Destination: "22", Amount: 100, State: transfer.Pending,
	}
	changes := transfer.Changes{Creates: []transfer.Transfer{tr}}
	if _, err := s.Commit(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	for _, answer := range answers {
		after := transfer.Next(tr, answer)
		done, err := s.Commit(t.Context(), transfer.Changes{Steps: []transfer.Step{{From: tr.State, After: after}}})
		if err != nil || done.Stepped[0].IsZero() {
			t.Fatalf("step to %s: %v, %v", after.State, done, err)
		}
		tr = after
	}
	return s
}

// The schema protects the saga: even a defect in the code cannot change a final state, or what the customer asked for.
func TestSchemaRefuses(t *testing.T) { sqldbtest.Each(t, testSchemaRefuses) }

func testSchemaRefuses(t *testing.T, engine sqldbtest.Engine) {
	completed := []accountapi.Outcome{applied, applied}
	for _, test := range []struct {
		statement string
		answers   []accountapi.Outcome
	}{
		{"UPDATE transfers SET state = 'COMPLETED', completed_at = 1, lease_until = NULL, failure_type = NULL, failure_message = NULL",
			[]accountapi.Outcome{applied, refusal}},
		{"UPDATE transfers SET state = 'DEBITED', failure_type = NULL, failure_message = NULL", []accountapi.Outcome{applied, refusal}},
		{"UPDATE transfers SET state = 'COMPLETED', lease_until = NULL", nil},
		{"UPDATE transfers SET state = 'REFUNDING'", nil},
		{"UPDATE transfers SET state = 'PENDING', failure_type = NULL, failure_message = NULL", []accountapi.Outcome{applied, refusal}},
		{"UPDATE transfers SET state = 'PENDING'", []accountapi.Outcome{applied}},
		{"UPDATE transfers SET state = 'FAILED', failure_type = 'T', failure_message = 'M', lease_until = NULL", []accountapi.Outcome{applied}},
		{"UPDATE transfers SET state = 'FAILED', failure_type = 'T', failure_message = 'M', completed_at = NULL", completed},
		{"UPDATE transfers SET state = 'PENDING', completed_at = NULL, lease_until = 1", completed},
		{"UPDATE transfers SET claims = 1", completed},
		{"UPDATE transfers SET state = 'FAILED', lease_until = NULL", nil},
		{"UPDATE transfers SET state = 'DONE'", nil},
		{"UPDATE transfers SET lease_until = NULL", nil},
		{"UPDATE transfers SET completed_at = 1", nil},
		{"UPDATE transfers SET amount = 200", nil},
		{"UPDATE transfers SET amount = 0", nil},
		{"UPDATE transfers SET destination_account_number = '33'", nil},
		{"UPDATE transfers SET origin_account_number = '33'", nil},
		{"UPDATE transfers SET origin_account_id = 'b'", nil},
		{"UPDATE transfers SET request_id = '2'", nil},
		{"UPDATE transfers SET fingerprint = 'g'", nil},
		{"UPDATE transfers SET id = 'x'", nil},
		{"UPDATE transfers SET created_at = 1", nil},
		{"DELETE FROM transfers", nil},
	} {
		s := with(t, engine, test.answers...)
		if err := s.exec(t.Context(), test.statement); err == nil {
			t.Errorf("after %v the schema allows %s", test.answers, test.statement)
		}
	}
}

// A completion and its event are one transaction: if the event cannot be written, the transfer is not completed.
func TestCompletionNeedsItsEvent(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, engine sqldbtest.Engine) {
		s := with(t, engine, applied)
		debited, err := s.Claim(t.Context(), time.Hour, 1)
		if err != nil || len(debited) != 1 {
			t.Fatalf("%v, %v", debited, err)
		}
		if err := s.exec(t.Context(), "DROP VIEW books_events; DROP TABLE outbox"); err != nil {
			t.Fatal(err)
		}
		completed := transfer.Next(debited[0], applied)
		step := transfer.Step{From: transfer.Debited, After: completed}
		if done, err := s.Commit(t.Context(), transfer.Changes{Steps: []transfer.Step{step}}); err == nil {
			t.Errorf("completed without an event: %+v", done)
		}
		if got, err := s.Transfer(t.Context(), completed.ID); err != nil || got != debited[0] {
			t.Errorf("%+v, %v; want %+v", got, err, debited[0])
		}
	})
}

func TestVerify(t *testing.T) { sqldbtest.Each(t, testVerify) }

func testVerify(t *testing.T, engine sqldbtest.Engine) {
	var violated sqldbtest.Violated // every invariant has a breach below
	defer func() { violated.WantAll(t) }()
	completed := []accountapi.Outcome{applied, applied}
	for _, test := range []struct {
		name    string
		answers []accountapi.Outcome
		harm    string
		want    string // in the violation, after the invariant's name
	}{
		{"pending", nil, "", ""},
		{"debited", []accountapi.Outcome{applied}, "", ""},
		{"refunding", []accountapi.Outcome{applied, refusal}, "", ""},
		{"failed", []accountapi.Outcome{refusal}, "", ""},
		{"refunded", []accountapi.Outcome{applied, refusal, applied}, "", ""},
		{"completed", completed, "", ""},
		{"event is out", completed, "DELETE FROM outbox", ""},
		{"two of a request", completed, `DROP VIEW books_transfers; CREATE TABLE keyless AS SELECT * FROM transfers; DROP TABLE transfers; ALTER TABLE keyless RENAME TO transfers;
			INSERT INTO transfers SELECT * FROM transfers`, "request 1 of account a has 2 transfers"},
		{"unknown state", nil, "UPDATE transfers SET state = 'DONE'", "is DONE"},
		{"no amount", nil, "UPDATE transfers SET amount = -100", "moves -100 from 11 to 22"},
		{"to itself", nil, "UPDATE transfers SET destination_account_number = '11'", "moves 100 from 11 to 11"},
		{"failed for no reason", []accountapi.Outcome{refusal}, "UPDATE transfers SET failure_type = NULL", "is FAILED with failure none"},
		{"completed with a failure", completed, "UPDATE transfers SET failure_type = 'T', failure_message = 'M'", "is COMPLETED with failure T"},
		{"completed at no time", completed, "UPDATE transfers SET completed_at = NULL", "is COMPLETED, completed at 0"},
		{"pending but completed", nil, "UPDATE transfers SET completed_at = 5", "is PENDING, completed at 5"},
		{"ends before it begins", completed, "UPDATE transfers SET completed_at = 1", "completed at 1"},
		{"lost to recovery", nil, "UPDATE transfers SET lease_until = NULL", "is PENDING with lease 0"},
		{"driven for ever", completed, "UPDATE transfers SET lease_until = 7", "is COMPLETED with lease 7"},
		{"stuck", []accountapi.Outcome{applied}, "UPDATE transfers SET created_at = created_at - 1", "is DEBITED since"},
		{"begins tomorrow", nil, "UPDATE transfers SET created_at = created_at + 86400000000, updated_at = updated_at + 86400000000", "is PENDING since"},
		{"of tomorrow, but it has ended", completed, "UPDATE transfers SET created_at = created_at + 86400000000, " +
			"updated_at = updated_at + 86400000000, completed_at = completed_at + 86400000000", ""},
		{"stuck, with a lease of tomorrow", nil, "UPDATE transfers SET created_at = created_at - 1, lease_until = lease_until + 86400000000", "is PENDING since"},
		{"event of nothing", nil, "INSERT INTO outbox (id, topic, partition_key, payload, created_at, claimed_until) VALUES ('x', 'transfers-completed', '11', '{}', 0, 0)", "event x for transfers-completed of transfer unknown"},
		{"event too early", []accountapi.Outcome{applied},
			"INSERT INTO outbox (id, topic, partition_key, payload, created_at, claimed_until) SELECT id, 'transfers-completed', '11', '{}', 0, 0 FROM transfers", "of transfer DEBITED"},
		{"event on another topic", completed, "UPDATE outbox SET topic = 'x'", "for x of transfer COMPLETED"},
		{"event out of order", completed, "UPDATE outbox SET partition_key = '22'", "of transfer COMPLETED"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := with(t, engine, test.answers...)
			if test.harm != "" {
				engine.Unguard(t, s.db)
				if err := s.exec(t.Context(), test.harm); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			err := s.Verify(t.Context(), &out, 0)
			if (err != nil) != (test.want != "") || !strings.Contains(out.String(), test.want) || (err != nil && !strings.Contains(out.String(), "VIOLATION")) {
				t.Errorf("Verify = %v, wrote:\n%swant %q", err, out.String(), test.want)
			}
			violated.Add(out.String())
		})
	}
}

// verify reads the keys from their index, so that it need not sort them.
func TestVerifySortsNoKeys(t *testing.T) {
	plan := sqldbtest.SQLite.Plan(t, open(t, sqldbtest.SQLite).db, portable.RequestsTwice)
	if !strings.Contains(plan, "COVERING INDEX") || strings.Contains(plan, "TEMP B-TREE") {
		t.Error(plan)
	}
}

// The frequent queries must not read the whole table.
func TestQueriesUseIndexes(t *testing.T) {
	engine := sqldbtest.SQLite
	s := open(t, engine)
	for query, want := range map[string][]string{
		portable.SelectList(s.db.Now()):    {"INDEX transfers_sent", "INDEX transfers_received"},
		portable.AnyOverdue(s.db.Now()):    {"INDEX transfers_unfinished (lease_until<?)"},
		portable.SelectOverdue(s.db.Now()): {"INDEX transfers_unfinished (lease_until<?)"},
		"SELECT state, count(*), max(abs(1 - created_at)) FROM transfers WHERE lease_until IS NOT NULL GROUP BY state":                  {"INDEX transfers_unfinished"},
		"SELECT 1 FROM transfers WHERE (origin_account_id, request_id) IN (VALUES ('a', '1'), ('a', '2'))":                              {"SEARCH transfers USING"},
		"WITH step (id, f) AS (VALUES ('a', 'b')) UPDATE transfers SET claims = 1 FROM step WHERE transfers.id = step.id AND state = f": {"SEARCH transfers USING"},
	} {
		var args []any
		switch {
		case strings.Contains(query, "$4"):
			args = []any{"a", "22", uuid.Max.String(), 10}
		case strings.Contains(query, "$1"):
			args = []any{1}
		}
		plan := engine.Plan(t, s.db, query, args...)
		for _, part := range want {
			if !strings.Contains(plan, part) || strings.Contains(plan, "SCAN transfers\n") {
				t.Errorf("%s\nplan:\n%swant %s", query, plan, part)
			}
		}
	}
}

// If the database refuses one transfer of a batch, or another session has locked its key, only that transfer fails.
func TestOneBadTransferFailsAlone(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, engine sqldbtest.Engine) {
		s := open(t, engine)
		ledger := accounttest.New(map[string]accounttest.Account{"11": {Balance: 1_000_000}, "22": {}})
		commits := groupcommit.New(s.Store)
		t.Cleanup(commits.Close)
		transfers := transfer.New(commits, ledger, transfer.Config{Deadline: 8 * time.Second, AttemptTimeout: time.Second},
			transfer.Bells{Completed: service.NewBell(), Overdue: service.NewBell()})
		names := []string{"bad"}
		for i := range 40 {
			names = append(names, "transfer "+strconv.Itoa(i))
		}
		engine.FailsAlone(t, s.db, sqldbtest.Joined{
			Table: "transfers", Column: "request_id", Names: names, Locked: "locked",
			Do: func(ctx context.Context, name string) error {
				_, err := transfers.Execute(ctx, transfer.Command{
					RequestID: name, Fingerprint: "f", Origin: transfer.Party{AccountID: "id-11", AccountNumber: "11"}, Destination: "22", Amount: 1,
				})
				return err
			},
			// Another session has begun a transfer with that key.
			Lock: `INSERT INTO transfers (id, request_id, fingerprint, origin_account_id, origin_account_number, destination_account_number,
				amount, state, created_at, updated_at, lease_until, claims) VALUES ('x', 'locked', 'f', 'id-11', '11', '22', 1, 'PENDING', 0, 0, 0, 0)`,
		})
	})
}

// The event of a completed transfer has the trace of the step that completed it, or none.
func TestEventsKeepTheirTraces(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, engine sqldbtest.Engine) {
		s := open(t, engine)
		traces := map[string]sql.NullString{
			"a": {String: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Valid: true},
			"b": {},
		}
		var creates, steps transfer.Changes
		for id, trace := range traces {
			pending := transfer.Transfer{
				ID: id, RequestID: id, Fingerprint: "f", Origin: transfer.Party{AccountID: "a", AccountNumber: "11"}, Destination: "22",
				Amount: 100, State: transfer.Pending,
			}
			after := pending
			after.State = transfer.Completed
			creates.Creates = append(creates.Creates, pending)
			steps.Steps = append(steps.Steps, transfer.Step{From: transfer.Pending, After: after, TraceParent: trace.String})
		}
		for _, changes := range []transfer.Changes{creates, steps} {
			if _, err := s.Commit(t.Context(), changes); err != nil {
				t.Fatal(err)
			}
		}
		for id, want := range traces {
			var got sql.NullString
			err := s.db.Read().QueryRowContext(t.Context(), "SELECT traceparent FROM outbox WHERE id = $1", id).Scan(&got)
			if err != nil || got != want {
				t.Errorf("%s: %+v, %v, want %+v", id, got, err, want)
			}
		}
	})
}
