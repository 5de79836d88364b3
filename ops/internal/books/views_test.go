package books_test

import (
	"regexp"
	"testing"

	"github.com/bankmore/bankmore/ops/internal/books"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// naming is what plans of the same steps may differ in: SQLite numbers the parts of a query, and PostgreSQL names a column with
// or without its table.
var naming = regexp.MustCompile(`(SUBQUERY|SubPlan) \d+|\b(accounts|movements|transfers|outbox|fees|debtors)\.`)

// The database reads the views as it reads the tables behind them: by the same indexes, and without a copy in between.
func TestViewsCostNothing(t *testing.T) { sqldbtest.Each(t, testViewsCostNothing) }

func testViewsCostNothing(t *testing.T, engine sqldbtest.Engine) {
	w := newWorld(t, engine)
	plan := func(query string, db *sqldb.DB) string {
		return naming.ReplaceAllString(engine.Plan(t, db, query), "$1")
	}
	for _, test := range []struct {
		viewed, direct string
		db             *sqldb.DB
	}{
		{books.SelectTransfers, `
			SELECT id, request_id, fingerprint, origin_account_number, destination_account_number, amount, state,
				created_at, coalesce(completed_at, 0)
			FROM transfers ORDER BY id`, w.transfer},
		{books.SelectLegs, `
			SELECT transfer_id, kind, type, number, counterparty, amount, created_at, coalesce(transfer_request_id, ''), coalesce(transfer_fingerprint, '')
			FROM movements JOIN accounts ON accounts.id = account_id
			WHERE kind IN ('transfer', 'refund', 'fee') ORDER BY transfer_id`, w.account},
		{books.SelectFees, `
			SELECT transfer_id, account_number, amount, status, CASE WHEN status = 'WAIVED' THEN reason ELSE '' END,
				status = 'PENDING' AND EXISTS (SELECT 1 FROM debtors WHERE debtors.account_number = fees.account_number AND debtors.waits),
				created_at
			FROM fees ORDER BY transfer_id`, w.fee},
		{"SELECT sum(amount) FROM books_movements", "SELECT sum(amount) FROM movements", w.account},
		{"SELECT number FROM books_accounts WHERE number IN ('11', '22')", "SELECT number FROM accounts WHERE number IN ('11', '22')", w.account},
		{"SELECT id FROM books_transfers WHERE origin_account_id = 'a' AND request_id = 'r'",
			"SELECT id FROM transfers WHERE origin_account_id = 'a' AND request_id = 'r'", w.transfer},
		{"SELECT count(*), min(created_at) FROM books_events", "SELECT count(*), min(created_at) FROM outbox", w.fee},
	} {
		if got, want := plan(test.viewed, test.db), plan(test.direct, test.db); got != want {
			t.Errorf("%s\nis read as\n%s\nand not as\n%s", test.viewed, got, want)
		}
	}
}
