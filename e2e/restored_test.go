//go:build !backends

package e2e_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/client"
	"github.com/bankmore/bankmore/e2e/stack"
)

// What docs/runbook.md says of a database of fee-svc that was restored from an earlier backup: verify names what is
// lost, and once the events are told again everything is as it was; nobody pays twice.
func TestFeeDatabaseRestored(t *testing.T) {
	fees := system.Apps["fee-svc"]
	ana, bia := newPerson(t, "Ana Cópia", "1000.00"), newPerson(t, "Bia Cópia", "")
	paid := []client.Receipt{ana.pay(t, bia, "10.00")}
	ana.waitBalance(t, "988.00")
	var backup []byte
	stopped(t, fees, func() { backup = backedUp(t, fees.Database) })
	since := time.Now().UTC()
	paid = append(paid, ana.pay(t, bia, "10.00"), ana.pay(t, bia, "10.00"))
	ana.waitBalance(t, "964.00")

	stopped(t, fees, func() { replace(t, fees.Database, backup) })
	out, err := system.Ops(t.Context(), "verify", "-grace", "0s")
	for _, lost := range paid[1:] {
		if want := "VIOLATION a completed transfer, and no other, has one fee, of its origin: transfer " + lost.TransferID; err == nil || !strings.Contains(out, want) {
			t.Errorf("%v, no %q in\n%s", err, want, out)
		}
	}
	if out, err := system.Ops(t.Context(), "republish", "-since", since.Format(time.RFC3339)); err != nil {
		t.Fatal(out)
	}
	wantSettledBooks(t)
	ana.waitBalance(t, "964.00")
	for _, receipt := range paid {
		wantCharged(t, ana, receipt.TransferID)
	}
	checkLedger(t)
}

// stopped does something while a service does not run.
func stopped(t *testing.T, app *stack.App, do func()) {
	t.Helper()
	if err := app.Service.Terminate(); err != nil {
		t.Fatal(err)
	}
	defer start(t, app.Service)
	do()
}

// backedUp is a database that nobody has open: whoever closes it last leaves no log beside it, and it is whole.
func backedUp(t *testing.T, path string) []byte {
	t.Helper()
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s is still open: %v", path, err)
	}
	return read(t, path)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// replace restores a database that nobody has open.
func replace(t *testing.T, path string, backup []byte) {
	t.Helper()
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.RemoveAll(path + suffix); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, backup, 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantSettledBooks waits until verify, without any patience, finds nothing across the services.
func wantSettledBooks(t *testing.T) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		_, err := system.Ops(t.Context(), "verify", "-grace", "0s")
		return err
	})
}

// The same for transfer-svc: what it has forgotten is taken from the ledger, with the runbook's own query.
func TestTransferDatabaseRestored(t *testing.T) {
	transfers := system.Apps["transfer-svc"]
	ana, bia := newPerson(t, "Ana Esquecida", "1000.00"), newPerson(t, "Bia Esquecida", "")
	ana.pay(t, bia, "10.00")
	ana.waitBalance(t, "988.00")
	var backup []byte
	stopped(t, transfers, func() { backup = backedUp(t, transfers.Database) })
	requestID := key()
	lost, err := ana.Transfer(t.Context(), requestID, bia.Number, "10.00")
	if err != nil {
		t.Fatal(err)
	}
	ana.waitBalance(t, "976.00")

	stopped(t, transfers, func() {
		replace(t, transfers.Database, backup)
		out, err := system.Ops(t.Context(), "verify", "-grace", "0s")
		if want := "VIOLATION a movement of a transfer, its refund or its fee has its transfer: transfer " + lost.TransferID; err == nil || !strings.Contains(out, want) {
			t.Errorf("%v, no %q in\n%s", err, want, out)
		}
		repair(t, transfers.Database)
	})
	wantSettledBooks(t)
	ana.waitBalance(t, "976.00")
	if again, err := ana.Transfer(t.Context(), requestID, bia.Number, "10.00"); err != nil || again.TransferID != lost.TransferID {
		t.Errorf("the same request again: %+v, %v", again, err)
	}
	ana.waitBalance(t, "976.00")
	checkLedger(t)
}

// repair runs the runbook's query on the ledger, and what it returns on the database of transfers.
func repair(t *testing.T, database string) {
	t.Helper()
	_, rest, found := strings.Cut(string(read(t, "../docs/runbook.md")), "<!-- transfers -->\n```sql\n")
	query, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatal("the runbook has no query for transfers")
	}
	open := func(path string) *sql.DB {
		db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	ledger, transfers := open(system.Apps["account-svc"].Database), open(database)
	defer ledger.Close()
	defer transfers.Close()
	conn, err := ledger.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	statements, err := lines(t.Context(), conn, query)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := transfers.ExecContext(t.Context(), strings.Join(statements, "\n")); err != nil {
		t.Fatal(err)
	}
}
