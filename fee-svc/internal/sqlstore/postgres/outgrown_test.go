//go:build backends

package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// Recording, claiming and settling fees and a customer's queries read only their own rows, whatever the tables held when
// PostgreSQL planned their statements.
func TestOutgrownPlans(t *testing.T) {
	sqldbtest.Outgrown{
		Migrations: sqlstore.Migrations(),
		Grow: []string{
			fmt.Sprintf(`INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, charged_at, due_at)
				SELECT 'z' || i, 'z' || i, 'z' || i, 200, CASE WHEN i %% 2 = 0 THEN 'PENDING' ELSE 'CHARGED' END, '', 0,
					CASE WHEN i %% 2 = 1 THEN 0 END, 0
				FROM generate_series(1, %d) AS i`, sqldbtest.Grown),
			fmt.Sprintf(`INSERT INTO debtors (account_number, due_at, waits) SELECT 'z' || i, 9e18::bigint, true
				FROM generate_series(1, %d) AS i`, sqldbtest.Grown),
		},
		Use: use,
		Keep: func(n int) []string {
			return []string{fmt.Sprintf("INSERT INTO debtors (account_number, due_at) SELECT 'kept' || i, 9e18::bigint FROM generate_series(1, %d) AS i", n)}
		},
	}.ReadsByKey(t)
}

func use(t *testing.T, db *sqldb.DB) func(round int) {
	store := sqlstore.New(db)
	return func(round int) {
		fees := make([]fee.Fee, 10)
		for i := range fees {
			id := uuid.Must(uuid.NewV7()).String()
			fees[i] = fee.Fee{ID: id, TransferID: id, AccountNumber: fmt.Sprint(round, "-", i), Amount: 200, Status: fee.Pending}
		}
		if _, err := store.Add(t.Context(), fees); err != nil {
			t.Fatal(err)
		}
		debtors, err := store.Claim(t.Context(), time.Minute, 10)
		if err != nil || len(debtors) != len(fees) {
			t.Fatal(debtors, err)
		}
		var numbers []string
		var releases []fee.Release
		for _, d := range debtors {
			numbers = append(numbers, d.AccountNumber)
			releases = append(releases, fee.Release{AccountNumber: d.AccountNumber, Until: d.Until})
		}
		claims, err := store.Owed(t.Context(), numbers, 10)
		if err != nil || len(claims) != len(fees) {
			t.Fatal(claims, err)
		}
		var settlements []fee.Settlement
		for _, c := range claims {
			settlements = append(settlements, fee.Settlement{
				ID: c.ID, AccountNumber: c.AccountNumber, Attempt: c.Attempt, Status: fee.Charged, Next: c.Attempt,
			})
		}
		if settled, err := store.Settle(t.Context(), settlements, releases); err != nil || len(settled) != len(fees) {
			t.Fatal(settled, err)
		}
		if _, err := store.Get(t.Context(), fees[0].ID); err != nil {
			t.Fatal(err)
		}
		if page, err := store.List(t.Context(), fees[0].AccountNumber, "", 10); err != nil || len(page) != 1 {
			t.Fatal(page, err)
		}
	}
}
