package sqlite_test

import (
	"strings"
	"testing"

	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore/sqlite"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// Owed reads only those fees of each debtor that it returns.
func TestOwedReadsByKey(t *testing.T) {
	plan := sqldbtest.SQLite.Plan(t, sqldbtest.SQLite.Open(t, sqlstore.Migrations()), sqlite.SelectOwed, `["18"]`, 1)
	if !strings.Contains(plan, "SEARCH fees USING INDEX sqlite_autoindex_fees_1 (id=?)") ||
		!strings.Contains(plan, "fees_owed (account_number=?)") {
		t.Error(plan)
	}
}
