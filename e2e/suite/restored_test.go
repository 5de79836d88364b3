package suite_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

// What docs/runbook.md says of a database of fee-svc that was restored from an earlier backup: verify names the lost fees. When
// transfer-svc has published the events again, the books are as before, and nobody pays twice.
func feeDatabaseRestored(t *testing.T) {
	fees := system.Apps["fee-svc"]
	ana, bia := system.NewCustomer(t, "Ana Cópia", "1000.00"), system.NewCustomer(t, "Bia Cópia", "")
	paid := []client.Receipt{ana.Pay(t, bia, "10.00")}
	ana.WaitBalance(t, "988.00")
	var backup []byte
	stopped(t, fees, func() { backup = backedUp(t, fees.Database) })
	since := time.Now().UTC()
	paid = append(paid, ana.Pay(t, bia, "10.00"), ana.Pay(t, bia, "10.00"))
	ana.WaitBalance(t, "964.00")

	stopped(t, fees, func() { replace(t, fees.Database, backup) })
	out, err := system.Ops(t.Context(), "verify", "-grace", "0s")
	for _, lost := range paid[1:] {
		if want := "VIOLATION a completed transfer, and no other, has one fee, of its origin: transfer " + lost.TransferID; err == nil || !strings.Contains(out, want) {
			t.Errorf("%v, no %q in\n%s", err, want, out)
		}
	}
	if out, err := system.Tool(t.Context(), "transfer-svc", "republish", "-since", since.Format(time.RFC3339)); err != nil {
		t.Fatal(out)
	}
	wantSettledBooks(t)
	ana.WaitBalance(t, "964.00")
	for _, receipt := range paid {
		wantCharged(t, ana, receipt.TransferID)
	}
	system.CheckBooks(t)
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

// backedUp reads a database that nobody has open. SQLite leaves no log beside a database when its last connection closes, so the
// file is complete.
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
	bank.Eventually(t, 30*time.Second, func() error {
		_, err := system.Ops(t.Context(), "verify", "-grace", "0s")
		return err
	})
}

// The same for transfer-svc: an operator restores a lost transfer from the ledger, with the request that its customer made. The
// state store has lost its answer, too. The customer repeats the request, gets the restored transfer, and does not pay twice.
func transferDatabaseRestored(t *testing.T) {
	transfers := system.Apps["transfer-svc"]
	ana, bia := system.NewCustomer(t, "Ana Esquecida", "1000.00"), system.NewCustomer(t, "Bia Esquecida", "")
	ana.Pay(t, bia, "10.00")
	ana.WaitBalance(t, "988.00")
	var backup []byte
	stopped(t, transfers, func() { backup = backedUp(t, transfers.Database) })
	requestID := bank.Key() + " || ção"
	lost, err := ana.Transfer(t.Context(), requestID, bia.Number, "10.00")
	if err != nil {
		t.Fatal(err)
	}
	ana.WaitBalance(t, "976.00")

	stopped(t, transfers, func() {
		replace(t, transfers.Database, backup)
		out, err := system.Ops(t.Context(), "verify", "-grace", "0s")
		if want := "VIOLATION a movement of a transfer, its refund or its fee has its transfer: transfer " + lost.TransferID; err == nil || !strings.Contains(out, want) {
			t.Errorf("%v, no %q in\n%s", err, want, out)
		}
		if err := system.ForgetState(t.Context()); err != nil {
			t.Fatal(err)
		}
		if out, err := system.Ops(t.Context(), "repair", "transfers"); err != nil || !strings.Contains(out, "1 transfers restored from the ledger") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	bank.Eventually(t, 30*time.Second, func() error { // recovery ends it first, as what it was
		again, err := ana.Transfer(t.Context(), requestID, bia.Number, "10.00")
		if err == nil && (again.TransferID != lost.TransferID || !again.Replayed || again.Status != client.Completed) {
			err = fmt.Errorf("the same request again: %+v", again)
		}
		return err
	})
	_, err = ana.Transfer(t.Context(), requestID, bia.Number, "10.01")
	bank.WantFailure(t, "the same key with another amount", err, http.StatusUnprocessableEntity, "IDEMPOTENCY_CONFLICT")
	wantSettledBooks(t)
	ana.WaitBalance(t, "976.00")
	bia.WantBalance(t, "20.00")
	system.CheckBooks(t)
}
