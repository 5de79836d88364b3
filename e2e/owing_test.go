package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/client"
)

// A fee from an account that has too little waits, and the ledger refuses nothing. Once the balance suffices, the fee is
// charged within a minute.
func TestFeeWaitsForBalance(t *testing.T) {
	ana, bia := newPerson(t, "Ana Sem Saldo", "10.00"), newPerson(t, "Bia Com Saldo", "")
	paid := ana.pay(t, bia, "10.00")
	is := func(status, description string) func() error {
		return func() error {
			fees, err := client.All(t.Context(), 100, ana.Fees)
			if err == nil && (len(fees) != 1 || fees[0].TransferID != paid.TransferID || fees[0].Status != status || !strings.Contains(fees[0].Description, description)) {
				err = fmt.Errorf("fees %+v, want one that is %s", fees, status)
			}
			return err
		}
	}
	eventually(t, 20*time.Second, is(client.Pending, "aguardando saldo"))
	ana.deposit(t, "2.00")
	eventually(t, time.Minute, is(client.Charged, ""))
	ana.waitBalance(t, "0.00")
	conn := openBooks(t)
	defer conn.Close()
	decided, err := lines(t.Context(), conn, "SELECT 'refused ' || request_key FROM account.refusals WHERE request_key LIKE '%"+paid.TransferID+":fee%'"+
		" UNION ALL SELECT request_key FROM account.movements WHERE request_key LIKE '%"+paid.TransferID+":fee%'")
	if want := []string{"service:" + paid.TransferID + ":fee"}; err != nil || !slices.Equal(decided, want) {
		t.Errorf("the ledger has decided %q, %v, want %q", decided, err, want)
	}
	checkLedger(t)
}
