//go:build backends

package sqlstore_test

import (
	"testing"
	"time"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// The database's clock has gone back by three hours. The runbook's statement makes due the debtors that were put off or claimed
// before, and none from after.
func TestRunbookMakesDebtorsOfTheFutureDue(t *testing.T) {
	db := sqldbtest.Postgres.Open(t, sqlstore.Migrations())
	store := sqlstore.New(db)
	clock := func(ahead time.Duration) { db.SetClock(func() time.Time { return time.Now().Add(ahead) }) }
	owes := func(number string) {
		t.Helper()
		f := fee.Fee{ID: number, TransferID: number, AccountNumber: number, Amount: 200, Status: fee.Pending}
		if _, err := store.Add(t.Context(), []fee.Fee{f}); err != nil {
			t.Fatal(err)
		}
	}
	claim := func(want int) {
		t.Helper()
		if debtors, err := store.Claim(t.Context(), 15*time.Second, 10); err != nil || len(debtors) != want {
			t.Fatalf("claimed %+v, %v; want %d", debtors, err, want)
		}
	}
	clock(3 * time.Hour)
	owes("claimed before")
	claim(1)
	owes("due later")
	clock(0)
	owes("claimed after")
	claim(1)
	statement := sqldbtest.Documented(t, "../../../docs/runbook.md", "UPDATE debtors ")
	if n, err := db.Exec(t.Context(), statement); err != nil || n != 2 {
		t.Errorf("%s\nchanges %d rows, %v", statement, n, err)
	}
	claim(2)
}
