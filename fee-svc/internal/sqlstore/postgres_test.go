//go:build backends

package sqlstore_test

import (
	"strings"
	"testing"

	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// A settlement reads only its own fees, even if many fees have become pending since the last ANALYZE.
func TestPostgresSettlesByKey(t *testing.T) {
	engine := sqldbtest.Engines[1]
	db := engine.Open(t, sqlstore.Migrations())
	for _, statement := range []string{
		`INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, charged_at, due_at)
			SELECT 'f' || i, 't' || i, '18', 200, 'CHARGED', '', 0, 0, 0 FROM generate_series(1, 20000) AS i`,
		"ANALYZE",
	} {
		if err := exec(t.Context(), db, statement); err != nil {
			t.Fatal(err)
		}
	}
	settlement := []any{"f1", int64(1), "CHARGED", "", int64(1), int64(0), int64(0)}
	plan := engine.Plan(t, db, sqlstore.UpdateSettled, sqldb.Columns([][]any{settlement})...)
	if !strings.Contains(plan, "fees_pkey") || strings.Contains(plan, "fees_due") || strings.Contains(plan, "fees_owed") {
		t.Error(plan)
	}
}

// A round reads only its own debtors and fees, even if many debtors and pending fees have come since the last ANALYZE.
func TestPostgresReadsDebtorsByKey(t *testing.T) {
	engine := sqldbtest.Engines[1]
	db := engine.Open(t, sqlstore.Migrations())
	for _, statement := range []string{
		`INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, charged_at, due_at)
			SELECT 'f' || i, 't' || i, (i % 100)::text, 200, 'CHARGED', '', 0, 0, 0 FROM generate_series(1, 20000) AS i`,
		"ANALYZE",
		`INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, due_at)
			SELECT 'p' || i, 'p' || i, i::text, 200, 'PENDING', '', 0, 0 FROM generate_series(1, 20000) AS i`,
		"INSERT INTO debtors (account_number, due_at) SELECT i::text, 0 FROM generate_series(1, 20000) AS i",
	} {
		if err := exec(t.Context(), db, statement); err != nil {
			t.Fatal(err)
		}
	}
	for query, test := range map[string]struct {
		index string
		args  []any
	}{
		sqlstore.SelectOwedPostgres: {"fees_owed", []any{[]string{"18", "26"}, 2}},
		sqlstore.SelectDue:          {"debtors_due", []any{int64(-1)}},
		sqlstore.SelectDebtors:      {"debtors_due", []any{int64(-1), 10}},
		sqlstore.UpdateReleased:     {"debtors_pkey", sqldb.Columns([][]any{{"18", int64(0), int64(0), true}})},
		"DELETE FROM debtors WHERE account_number = ANY($1) AND " + sqlstore.OwesNothing: {"Index Cond: (account_number = debtors.account_number)", []any{[]string{"18", "26"}}},
	} {
		if plan := engine.Plan(t, db, query, test.args...); !strings.Contains(plan, test.index) || strings.Contains(plan, "Seq Scan") {
			t.Errorf("%s\n%s", query, plan)
		}
	}
}
