//go:build !backends

package e2e_test

import (
	"database/sql"
	"path/filepath"
	"testing"
)

// breaches break the law of that place in conservation, on a copy of the books.
var breaches = []string{
	"UPDATE account.accounts SET balance = balance + 1 WHERE balance > 0",
	"UPDATE account.movements SET balance_after = -1 WHERE rowid = (SELECT min(rowid) FROM account.movements)",
	"UPDATE account.accounts SET balance = balance - 1 WHERE balance > 0",
	"DELETE FROM account.movements WHERE rowid = (SELECT min(rowid) FROM account.movements WHERE kind = 'transfer' AND type = 'C')",
	"UPDATE account.movements SET counterparty = '1' WHERE rowid = (SELECT min(rowid) FROM account.movements WHERE kind = 'transfer')",
	"UPDATE transfer.transfers SET state = 'FAILED' WHERE rowid = (SELECT min(rowid) FROM transfer.transfers WHERE state = 'COMPLETED')",
	"UPDATE account.movements SET kind = 'refund' WHERE rowid = (SELECT min(rowid) FROM account.movements WHERE kind = 'transfer' AND type = 'C')",
	"DELETE FROM fee.fees WHERE rowid = (SELECT min(rowid) FROM fee.fees WHERE status = 'CHARGED')",
	"UPDATE account.movements SET amount = amount + 1 WHERE rowid = (SELECT min(rowid) FROM account.movements WHERE kind = 'fee')",
}

// Every law notices its breach, or checkLedger would prove nothing.
func TestLawsNoticeBreaches(t *testing.T) {
	ana, bia := newPerson(t, "Ana Lei", "100.00"), newPerson(t, "Bia Lei", "")
	ana.pay(t, bia, "10.00")
	ana.waitBalance(t, "88.00")
	if _, err := ana.Transfer(t.Context(), key(), bia.Number, "1000.00"); err == nil {
		t.Error("overdraft")
	}
	settle(t)
	copied := copyBooks(t)
	exec := func(statement string) {
		t.Helper()
		if _, err := copied.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("PRAGMA ignore_check_constraints = 1")
	for i, law := range conservation {
		if whole, err := lines(t.Context(), copied, law.query); err != nil || len(whole) > 0 {
			t.Fatalf("%s: already broken: %q, %v", law.name, whole, err)
		}
		exec("BEGIN")
		exec(breaches[i])
		if broken, err := lines(t.Context(), copied, law.query); err != nil || len(broken) == 0 {
			t.Errorf("%s: not noticed, %v", law.name, err)
		}
		exec("ROLLBACK")
	}
}

// copyBooks copies the databases, without the triggers that protect them.
func copyBooks(t *testing.T) *sql.Conn {
	t.Helper()
	original, dir := openBooks(t), t.TempDir()
	for _, schema := range []string{"account", "transfer", "fee"} {
		if _, err := original.ExecContext(t.Context(), "VACUUM "+schema+" INTO $1", filepath.Join(dir, schema)); err != nil {
			t.Fatal(err)
		}
	}
	copied := attach(t, "mode=rw", filepath.Join(dir, "account"), filepath.Join(dir, "transfer"), filepath.Join(dir, "fee"))
	for _, schema := range []string{"account", "transfer", "fee"} {
		triggers, err := lines(t.Context(), copied, "SELECT name FROM "+schema+".sqlite_schema WHERE type = 'trigger'")
		if err != nil {
			t.Fatal(err)
		}
		for _, trigger := range triggers {
			if _, err := copied.ExecContext(t.Context(), "DROP TRIGGER "+schema+"."+trigger); err != nil {
				t.Fatal(err)
			}
		}
	}
	return copied
}
