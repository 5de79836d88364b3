//go:build backends

package postgres_test

import (
	"strings"
	"testing"

	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore/portable"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore/postgres"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// A settlement reads only its own fees, even if many fees have become pending since the last ANALYZE.
func TestPostgresSettlesByKey(t *testing.T) {
	engine := sqldbtest.Postgres
	db := engine.Open(t, sqlstore.Migrations())
	for _, statement := range []string{
		`INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, charged_at, due_at)
			SELECT 'f' || i, 't' || i, '18', 200, 'CHARGED', '', 0, 0, 0 FROM generate_series(1, 20000) AS i`,
		"ANALYZE",
	} {
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	settlement := []any{"f1", int64(1), "CHARGED", "", int64(1), int64(0)}
	plan := engine.Plan(t, db, postgres.UpdateSettled(db.Now()), sqldb.Columns([][]any{settlement})...)
	if !strings.Contains(plan, "fees_pkey") || strings.Contains(plan, "fees_due") || strings.Contains(plan, "fees_owed") {
		t.Error(plan)
	}
}

// A round reads only its own debtors and fees, even if many debtors and pending fees have come since the last ANALYZE.
func TestPostgresReadsDebtorsByKey(t *testing.T) {
	engine := sqldbtest.Postgres
	db := engine.Open(t, sqlstore.Migrations())
	for _, statement := range []string{
		`INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, charged_at, due_at)
			SELECT 'f' || i, 't' || i, (i % 100)::text, 200, 'CHARGED', '', 0, 0, 0 FROM generate_series(1, 20000) AS i`,
		"ANALYZE",
		`INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, due_at)
			SELECT 'p' || i, 'p' || i, i::text, 200, 'PENDING', '', 0, 0 FROM generate_series(1, 20000) AS i`,
		"INSERT INTO debtors (account_number, due_at) SELECT i::text, 0 FROM generate_series(1, 20000) AS i",
	} {
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for query, test := range map[string]struct {
		index string
		args  []any
	}{
		postgres.SelectOwed:               {"fees_owed", []any{[]string{"18", "26"}, 2}},
		portable.SelectDue("-1"):          {"debtors_due_at", nil},
		portable.SelectDebtors("-1"):      {"debtors_due_at", []any{10}},
		portable.SelectDue(db.Now()):      {"debtors_due_at", nil},
		portable.SelectDebtors(db.Now()):  {"debtors_due_at", []any{10}},
		postgres.UpdateReleased(db.Now()): {"debtors_pkey", sqldb.Columns([][]any{{"18", int64(0), int64(0), true}})},
		"DELETE FROM debtors WHERE account_number = ANY($1) AND " + portable.OwesNothing: {"Index Cond: (account_number = debtors.account_number)", []any{[]string{"18", "26"}}},
	} {
		if plan := engine.Plan(t, db, query, test.args...); !strings.Contains(plan, test.index) || strings.Contains(plan, "Seq Scan") {
			t.Errorf("%s\n%s", query, plan)
		}
	}
}
