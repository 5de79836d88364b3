//go:build backends

package postgres_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore/portable"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore/postgres"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// exec runs statements, each in a transaction of its own.
func exec(t *testing.T, db *sqldb.DB, statements ...string) error {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.Exec(t.Context(), statement); err != nil {
			return err
		}
	}
	return nil
}

// With 20,000 rows, none of the frequent queries reads the whole table.
func TestPostgresUsesIndexes(t *testing.T) {
	engine := sqldbtest.Postgres
	db := engine.Open(t, sqlstore.Migrations())
	err := exec(t, db, `
		INSERT INTO transfers (id, request_id, fingerprint, origin_account_id, origin_account_number, destination_account_number, amount, state,
			created_at, updated_at, completed_at, lease_until, claims)
		SELECT 't' || i, i::text, 'f', 'a' || i % 100, i::text, (i % 1000 + 1)::text || 'x', 1, CASE WHEN i % 1000 = 0 THEN 'PENDING' ELSE 'COMPLETED' END,
			i, i, CASE WHEN i % 1000 = 0 THEN NULL ELSE i END, CASE WHEN i % 1000 = 0 THEN i END, 0
		FROM generate_series(1, 20000) AS i`, "ANALYZE")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		query string
		args  []any
		want  []string
	}{
		{portable.SelectList(db.Now()), []any{"a7", "8x", "z", 10}, []string{"transfers_sent", "transfers_received"}},
		{portable.SelectOverdue(db.Now()) + " FOR UPDATE SKIP LOCKED", []any{10}, []string{"transfers_unfinished"}},
		{portable.AnyOverdue(db.Now()), nil, []string{"transfers_unfinished"}},
		{"SELECT state, count(*), max(abs(1 - created_at)) FROM transfers WHERE lease_until IS NOT NULL GROUP BY state", nil, []string{"transfers_unfinished"}},
		{postgres.SelectPresent(db.Now()),
			[]any{[]string{"a1", "a2"}, []string{"101", "102"}}, []string{"transfers_origin_account_id_request_id_key"}},
		{"UPDATE transfers SET claims = 1 FROM unnest($1::text[]) AS step (id) WHERE transfers.id = step.id AND state = 'PENDING'",
			[]any{[]string{"t1", "t2"}}, []string{"transfers_pkey"}},
	} {
		plan := engine.Plan(t, db, test.query, test.args...)
		for _, index := range test.want {
			if !strings.Contains(plan, index) || strings.Contains(plan, "Seq Scan on transfers") {
				t.Errorf("%s\n%s", test.query, plan)
			}
		}
	}
}

// A release reads only its own transfers, even if many have become unfinished since the last ANALYZE.
func TestPostgresReleasesByKey(t *testing.T) {
	engine := sqldbtest.Postgres
	db := engine.Open(t, sqlstore.Migrations())
	err := exec(t, db, `
		INSERT INTO transfers (id, request_id, fingerprint, origin_account_id, origin_account_number, destination_account_number, amount, state,
			created_at, updated_at, completed_at, claims)
		SELECT 't' || i, i::text, 'f', 'a', '1', '2', 1, 'COMPLETED', i, i, i, 0 FROM generate_series(1, 20000) AS i`, "ANALYZE")
	if err != nil {
		t.Fatal(err)
	}
	plan := engine.Plan(t, db, postgres.ReleaseLeases(db.Now()), []string{"t1"}, []int64{0}, []int64{0})
	if !strings.Contains(plan, "transfers_pkey") || strings.Contains(plan, "transfers_unfinished") {
		t.Error(plan)
	}
}

// verify reads the keys from their index, so that it need not sort them. PostgreSQL does so once the table is vacuumed.
func TestPostgresSortsNoKeys(t *testing.T) {
	engine := sqldbtest.Postgres
	url := engine.URL(t)
	db := sqldbtest.Reopen(t, url)
	if err := db.Migrate(t.Context(), sqlstore.Migrations()); err != nil {
		t.Fatal(err)
	}
	err := exec(t, db, `
		INSERT INTO transfers (id, request_id, fingerprint, origin_account_id, origin_account_number, destination_account_number, amount, state,
			created_at, updated_at, completed_at, claims)
		SELECT 't' || i, i::text, 'f', 'a' || i % 1000, '1', '2', 1, 'COMPLETED', i, i, i, 0 FROM generate_series(1, 20000) AS i`)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "VACUUM ANALYZE transfers"); err != nil { // not allowed in a transaction, as exec runs
		t.Fatal(err)
	}
	plan := engine.Plan(t, sqldbtest.Look(t, url), portable.RequestsTwice)
	if !strings.Contains(plan, "Index Only Scan using transfers_origin_account_id_request_id_key") || strings.Contains(plan, "Sort") {
		t.Error(plan)
	}
}

// Two replicas claim overdue transfers at the same time. Each transfer is claimed exactly once.
func TestReplicasClaimApart(t *testing.T) {
	rawURL := sqldbtest.Postgres.URL(t)
	first, second := sqldbtest.Reopen(t, rawURL), sqldbtest.Reopen(t, rawURL)
	if err := first.Migrate(t.Context(), sqlstore.Migrations()); err != nil {
		t.Fatal(err)
	}
	stores := []sqlstore.Store{sqlstore.New(first), sqlstore.New(second)}
	var changes transfer.Changes
	const n = 500
	for range n {
		id := uuid.Must(uuid.NewV7()).String()
		changes.Creates = append(changes.Creates, transfer.Transfer{
			ID: id, RequestID: id, Fingerprint: "f", Origin: transfer.Party{AccountID: "a", AccountNumber: "11"},
			Destination: "22", Amount: 100, State: transfer.Pending,
		})
	}
	if _, err := stores[0].Commit(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var claims atomic.Int64
	for i := range 8 {
		all.Go(func() {
			for {
				claimed, err := stores[i%2].Claim(t.Context(), time.Minute, 20)
				if err != nil {
					t.Error(err)
				}
				if len(claimed) == 0 {
					return
				}
				claims.Add(int64(len(claimed)))
			}
		})
	}
	all.Wait()
	if claims.Load() != n {
		t.Errorf("%d claims of %d transfers", claims.Load(), n)
	}
}
