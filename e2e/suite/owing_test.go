package suite_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
)

// If an account has too little for a fee, the fee waits, and the ledger refuses nothing. When the balance suffices, the fee is
// charged within a minute.
func TestFeeWaitsForBalance(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Sem Saldo", "10.00"), system.NewCustomer(t, "Bia Com Saldo", "")
	paid := ana.Pay(t, bia, "10.00")
	is := func(status, description string) func() error {
		return func() error {
			fees, err := client.All(t.Context(), 100, ana.Fees)
			if err == nil && (len(fees) != 1 || fees[0].TransferID != paid.TransferID || string(fees[0].Status) != status || !strings.Contains(fees[0].Description, description)) {
				err = fmt.Errorf("fees %+v, want one that is %s", fees, status)
			}
			return err
		}
	}
	bank.Eventually(t, 20*time.Second, is(client.Pending, "aguardando saldo"))
	ana.Deposit(t, "2.00")
	bank.Eventually(t, time.Minute, is(client.Charged, ""))
	ana.WaitBalance(t, "0.00")
	conn := system.OpenBooks(t)
	defer conn.Close()
	decided, err := bank.Lines(t.Context(), conn, "SELECT 'refused ' || request_key FROM account.refusals WHERE request_key LIKE '%"+paid.TransferID+":fee%'"+
		" UNION ALL SELECT request_key FROM account.movements WHERE request_key LIKE '%"+paid.TransferID+":fee%'")
	if want := []string{"service:" + paid.TransferID + ":fee"}; err != nil || !slices.Equal(decided, want) {
		t.Errorf("the ledger has decided %q, %v, want %q", decided, err, want)
	}
	system.CheckBooks(t)
}
