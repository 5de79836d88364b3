//go:build !backends

package e2e_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/client"
)

// What docs/runbook.md says of a database of fee-svc that was restored from an earlier backup: verify names what is
// lost, and once the events are told again everything is as it was; nobody pays twice.
func TestFeeDatabaseRestored(t *testing.T) {
	fees := system.Apps["fee-svc"]
	ana, bia := newPerson(t, "Ana Cópia", "1000.00"), newPerson(t, "Bia Cópia", "")
	paid := []client.Receipt{ana.pay(t, bia, "10.00")}
	ana.waitBalance(t, "988.00")
	backup := stopped(t, func() []byte {
		file, err := os.ReadFile(fees.Database)
		if err != nil {
			t.Fatal(err)
		}
		return file
	})
	since := time.Now().UTC()
	paid = append(paid, ana.pay(t, bia, "10.00"), ana.pay(t, bia, "10.00"))
	ana.waitBalance(t, "964.00")

	stopped(t, func() []byte {
		for _, suffix := range []string{"-wal", "-shm"} {
			if err := os.RemoveAll(fees.Database + suffix); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(fees.Database, backup, 0o600); err != nil {
			t.Fatal(err)
		}
		return nil
	})
	out, err := system.Ops(t.Context(), "verify", "-grace", "0s")
	for _, lost := range paid[1:] {
		if want := "VIOLATION a completed transfer, and no other, has one fee, of its origin: transfer " + lost.TransferID; err == nil || !strings.Contains(out, want) {
			t.Errorf("%v, no %q in\n%s", err, want, out)
		}
	}
	if out, err := system.Ops(t.Context(), "republish", "-since", since.Format(time.RFC3339)); err != nil {
		t.Fatal(out)
	}
	eventually(t, 30*time.Second, func() error {
		out, err := system.Ops(t.Context(), "verify", "-grace", "0s")
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	ana.waitBalance(t, "964.00")
	for _, receipt := range paid {
		wantCharged(t, ana, receipt.TransferID)
	}
	checkLedger(t)
}

// stopped does something while fee-svc does not run.
func stopped(t *testing.T, do func() []byte) []byte {
	t.Helper()
	fees := system.Apps["fee-svc"].Service
	if err := fees.Terminate(); err != nil {
		t.Fatal(err)
	}
	defer start(t, fees)
	return do()
}
