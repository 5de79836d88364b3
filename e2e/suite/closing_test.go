package suite_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
)

// A customer who owes a fee and has nothing may close the account at once; the fee is waived, and the books say why.
func TestFeesOwedAtClosingAreWaived(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Devedora", "10.00"), system.NewCustomer(t, "Bia Credora", "")
	paid := ana.Pay(t, bia, "10.00")
	fees := func(status, reason string) func() error {
		return func() error {
			conn := system.OpenBooks(t)
			defer conn.Close()
			found, err := bank.Lines(t.Context(), conn, `
				SELECT status || ' ' || CASE WHEN status = 'PENDING' AND account_number IN (SELECT account_number FROM fee.debtors WHERE waits)
					THEN 'INSUFFICIENT_BALANCE' ELSE reason END
				FROM fee.fees WHERE transfer_id = $1`, paid.TransferID)
			if want := status + " " + reason; err == nil && !slices.Equal(found, []string{want}) {
				err = fmt.Errorf("the fee is %q, want %q", found, want)
			}
			return err
		}
	}
	bank.Eventually(t, 20*time.Second, fees("PENDING", "INSUFFICIENT_BALANCE"))
	began := time.Now()
	if err := ana.Deactivate(t.Context(), ana.Password); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the closing took %s", took)
	}
	bank.Eventually(t, 90*time.Second, fees(client.Waived, "INACTIVE_ACCOUNT"))
	system.CheckBooks(t)
}
