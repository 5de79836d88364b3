//go:build backends

package sqlstore_test

import (
	"strings"
	"testing"

	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// However many fees have become pending since the statistics were made, a settlement reads its own fees only.
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
	settlement := []any{"f1", int64(1), "CHARGED", "", int64(1), int64(0), int64(0), int64(0)}
	plan := engine.Plan(t, db, sqlstore.UpdateSettled, sqldb.Columns([][]any{settlement})...)
	if !strings.Contains(plan, "fees_pkey") || strings.Contains(plan, "fees_due") {
		t.Error(plan)
	}
}
