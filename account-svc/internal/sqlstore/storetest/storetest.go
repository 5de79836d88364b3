// Package storetest is the conformance suite that every store of account-svc passes.
package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/groupcommit"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/money"
)

// Store is what the suite tests.
type Store = sqlstore.Store

// Run runs the suite on stores that open returns, each empty.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"customers":                   customers,
		"account number taken":        numberTaken,
		"deactivation":                deactivation,
		"closing keeps no money":      closingKeepsNoMoney,
		"credits while closing":       creditsWhileClosing,
		"reopening":                   reopening,
		"untouched accounts":          untouchedAccounts,
		"movements and balance":       movements,
		"a batch stands item by item": itemByItem,
		"keys decide once":            keysDecideOnce,
		"refusals are durable":        refusalsAreDurable,
		"nothing after an error":      nothingAfterAnError,
		"large batch":                 largeBatch,
		"statement pages":             statementPages,
		"statement filters":           statementFilters,
		"marks":                       marks,
		"late movement":               lateMovement,
		"owners":                      owners,
		"walks":                       walks,
		"concurrent debits":           concurrentDebits,
		"opposite transfers":          oppositeTransfers,
		"opposite pairs":              oppositePairs,
		"standings":                   standings,
		"closed accounts":             closedAccounts,
		"concurrent same key":         concurrentSameKey,
		"money in transit":            moneyInTransit,
	} {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			test(t, store)
			if err := store.Verify(t.Context(), testWriter{t}, time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

func register(t *testing.T, s Store, number string) customer.Registration {
	t.Helper()
	r := customer.Registration{
		Customer:  customer.Customer{AccountID: "id-" + number, Number: number, Name: "Ana " + number, Active: true, Untouched: true, PasswordHash: "hash"},
		CPFHash:   "cpf-" + number,
		CreatedAt: time.Now(),
	}
	if err := s.Register(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r
}

// send is the debit of a transfer from account 11 to account 22; sendBack is its refund.
func send(transfer string, amount money.Cents) ledger.Command {
	return ledger.Command{
		RequestKey: transfer + ":debit", Fingerprint: "f", AccountNumber: "11", Type: ledger.Debit, Kind: ledger.Transfer,
		Amount: amount, Counterparty: "22", TransferID: transfer,
	}
}

func sendBack(transfer string, amount money.Cents) ledger.Command {
	return ledger.Command{
		RequestKey: transfer + ":refund", Fingerprint: "f", AccountNumber: "11", Type: ledger.Credit, Kind: ledger.Refund,
		Amount: amount, Counterparty: "22", TransferID: transfer,
	}
}

// pair is the debit of a transfer, and its credit as its Then.
func pair(transfer, from, to string, amount money.Cents) ledger.Command {
	both := ledger.Command{
		RequestKey: transfer + ":debit", Fingerprint: "f", AccountNumber: from, Type: ledger.Debit, Kind: ledger.Transfer,
		Amount: amount, Counterparty: to, TransferID: transfer,
	}
	credit := both
	credit.RequestKey, credit.Type, credit.AccountNumber, credit.Counterparty = transfer+":credit", ledger.Credit, to, from
	both.Then = &credit
	return both
}

// cash is a deposit or a withdrawal.
func cash(key, number string, typ ledger.Type, amount money.Cents) ledger.Command {
	kind := ledger.Deposit
	if typ == ledger.Debit {
		kind = ledger.Withdrawal
	}
	return ledger.Command{RequestKey: key, Fingerprint: fmt.Sprint(number, typ, amount), AccountNumber: number, Type: typ, Kind: kind, Amount: amount}
}

// apply applies commands as one batch.
func apply(t *testing.T, s Store, commands ...ledger.Command) []ledger.Result {
	t.Helper()
	results, err := ledger.New(s).Apply(t.Context(), commands)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func balance(t *testing.T, s Store, number string) money.Cents {
	t.Helper()
	a, err := s.Balance(t.Context(), "id-"+number)
	if err != nil {
		t.Fatal(err)
	}
	return a.Balance
}

// parallel runs f(0) … f(n-1) at once.
func parallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// Two ledgers on one store stand for two replicas.
func replicas(t *testing.T, s Store) [2]*groupcommit.Ledger {
	books := [2]*groupcommit.Ledger{groupcommit.New(ledger.New(s)), groupcommit.New(ledger.New(s))}
	t.Cleanup(func() { books[0].Close(); books[1].Close() })
	return books
}
