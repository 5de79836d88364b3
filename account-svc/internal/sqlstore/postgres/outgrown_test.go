//go:build backends

package postgres_test

import (
	"fmt"
	"testing"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// The ledger's commands and a customer's queries read only their own rows, whatever the tables held when PostgreSQL planned
// their statements.
func TestOutgrownPlans(t *testing.T) {
	sqldbtest.Outgrown{
		Migrations: sqlstore.Migrations(),
		Grow: []string{
			fmt.Sprintf("INSERT INTO customers SELECT 'z' || i, 'Ana', 'z' || i, '', '', 0 FROM generate_series(1, %d) AS i", sqldbtest.Grown),
			fmt.Sprintf("INSERT INTO accounts (id, number, balance, version) SELECT 'z' || i, 'z' || i, 1, 1 FROM generate_series(1, %d) AS i", sqldbtest.Grown),
			fmt.Sprintf(`INSERT INTO movements SELECT 'z' || i, 'z' || i, 'f', 'z' || i, 1, 'C', 1, 'cash', 'deposit', '', '', '', 1, 0, NULL, NULL
				FROM generate_series(1, %d) AS i`, sqldbtest.Grown),
			fmt.Sprintf("INSERT INTO refusals SELECT 'z' || i, 'f', 'T', 0 FROM generate_series(1, %d) AS i", sqldbtest.Grown),
		},
		Use: use,
	}.ReadsByKey(t)
}

func use(t *testing.T, db *sqldb.DB) func(round int) {
	store := sqlstore.New(db)
	book := ledger.New(store)
	return func(round int) {
		var in, out []ledger.Command
		var numbers, keys []string
		for i := range 10 {
			number := fmt.Sprint(round, "-", i)
			register(t, store, number)
			in = append(in, deposit("deposit "+number, number, 100))
			out = append(out, leg(number, number, fmt.Sprint(round, "-", (i+1)%10)), leg("refused "+number, "unknown "+number, number))
			numbers, keys = append(numbers, number), append(keys, "deposit "+number)
		}
		for _, commands := range [][]ledger.Command{in, out, out} {
			if _, err := book.Apply(t.Context(), commands); err != nil {
				t.Fatal(err)
			}
		}
		if accounts, decided, err := store.Standings(t.Context(), numbers, keys); err != nil || len(accounts) != 10 || len(decided) != 10 {
			t.Fatal(accounts, decided, err)
		}
		id := "id-" + numbers[0]
		if a, err := store.Balance(t.Context(), id); err != nil || a.Balance != 99 {
			t.Fatal(a, err)
		}
		if rows, err := store.Statement(t.Context(), id, ledger.Filter{}, 20); err != nil || len(rows) != 2 {
			t.Fatal(rows, err)
		}
		if mark, err := store.Mark(t.Context(), id, nil); err != nil || mark != (ledger.Mark{Seq: 2, Balance: 99}) {
			t.Fatal(mark, err)
		}
		if owners, err := store.Owners(t.Context(), numbers); err != nil || len(owners) != 10 {
			t.Fatal(owners, err)
		}
		if _, err := store.ByCPF(t.Context(), numbers[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := store.ByID(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if exists, err := store.Exists(t.Context(), numbers[0]); err != nil || !exists {
			t.Fatal(exists, err)
		}
	}
}
