//go:build !backends

package e2e_test

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
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

// The same for transfer-svc: what it has forgotten is restored from the ledger, with the request that its customer made.
// The customer, who has got no answer, repeats the request, and the state store does not remember it either: the
// restored transfer answers, and nobody pays twice.
func TestTransferDatabaseRestored(t *testing.T) {
	transfers := system.Apps["transfer-svc"]
	ana, bia := newPerson(t, "Ana Esquecida", "1000.00"), newPerson(t, "Bia Esquecida", "")
	ana.pay(t, bia, "10.00")
	ana.waitBalance(t, "988.00")
	var backup []byte
	stopped(t, transfers, func() { backup = backedUp(t, transfers.Database) })
	requestID := key() + " || ção"
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
		forgetAnswers(t)
		if out, err := system.Ops(t.Context(), "repair", "transfers"); err != nil || !strings.Contains(out, "1 transfers restored from the ledger") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	eventually(t, 30*time.Second, func() error { // recovery ends it first, as what it was
		again, err := ana.Transfer(t.Context(), requestID, bia.Number, "10.00")
		if err == nil && (again.TransferID != lost.TransferID || !again.Replayed || again.Status != client.Completed) {
			err = fmt.Errorf("the same request again: %+v", again)
		}
		return err
	})
	_, err = ana.Transfer(t.Context(), requestID, bia.Number, "10.01")
	wantFailure(t, "the same key with another amount", err, http.StatusUnprocessableEntity, "IDEMPOTENCY_CONFLICT")
	wantSettledBooks(t)
	ana.waitBalance(t, "976.00")
	bia.wantBalance(t, "20.00")
	checkLedger(t)
}

// forgetAnswers empties the state store.
func forgetAnswers(t *testing.T) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(system.Dir, ".data", "state.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "DELETE FROM state"); err != nil {
		t.Fatal(err)
	}
}
