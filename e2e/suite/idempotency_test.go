package suite_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
)

// oddKeys are idempotency keys that a parser or a store could take for something else.
var oddKeys = []string{
	"a||b", "||", "a/b/../c", "//", "ação-é-ñ", "ключ", "🔑💸", "%2F%00", `"quoted"`, `back\slash`, "a b", "'; DROP TABLE transfers; --", "{}", "x:debit",
	"e\u0301", "\u00e9", strings.Repeat("é", 255),
}

// A repeated request gets the first answer, marked as a replay, and moves no money. The same key with another payload is refused.
// A key may hold any visible characters.
func TestReplay(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Repete", ""), system.NewCustomer(t, "Bia Repete", "")
	for _, odd := range oddKeys {
		first, err := ana.Move(t.Context(), odd, client.Credit, "12.00")
		if err != nil || first.Replayed() {
			t.Fatalf("key %q: deposit: %v, replayed %t", odd, err, first.Replayed())
		}
		for range 2 {
			again, err := ana.Move(t.Context(), odd, client.Credit, "12.00")
			if err != nil || !again.Replayed() {
				t.Errorf("key %q: deposit again: %v, replayed %t", odd, err, again.Replayed())
			}
		}
		_, err = ana.Move(t.Context(), odd, client.Credit, "12.01")
		bank.WantFailure(t, odd, err, http.StatusUnprocessableEntity, "IDEMPOTENCY_CONFLICT")
		_, err = ana.Move(t.Context(), odd, client.Debit, "12.00")
		bank.WantFailure(t, odd, err, http.StatusUnprocessableEntity, "IDEMPOTENCY_CONFLICT")

		paid, err := ana.Transfer(t.Context(), odd, bia.Number, "10.00") // a key counts per operation
		if err != nil || paid.Replayed {
			t.Fatalf("key %q: transfer: %v, replayed %t", odd, err, paid.Replayed)
		}
		again, err := ana.Transfer(t.Context(), odd, bia.Number, "10.00")
		paid.Replayed = true
		if err != nil || again != paid {
			t.Errorf("key %q: transfer again: %+v, %v, want %+v", odd, again, err, paid)
		}
		_, err = ana.Transfer(t.Context(), odd, bia.Number, "10.01")
		bank.WantFailure(t, odd, err, http.StatusUnprocessableEntity, "IDEMPOTENCY_CONFLICT")
		seen, err := ana.TransferByID(t.Context(), paid.TransferID)
		if err != nil || seen.RequestID != odd {
			t.Errorf("key %q is kept as %q, %v", odd, seen.RequestID, err)
		}
	}
	bia.WantBalance(t, fmt.Sprintf("%d.00", 10*len(oddKeys)))
	ana.WaitBalance(t, "0.00")
	system.CheckBooks(t)
}

// Keys are per customer: a request of another customer with the same key is another request.
func TestKeysBelongToTheirCaller(t *testing.T) {
	ana, bia, shared := system.NewCustomer(t, "Ana Chave", "50.00"), system.NewCustomer(t, "Bia Chave", "50.00"), bank.Key()
	for _, p := range []struct{ from, to bank.Customer }{{ana, bia}, {bia, ana}} {
		receipt, err := p.from.Transfer(t.Context(), shared, p.to.Number, "20.00")
		if err != nil || receipt.Replayed || receipt.OriginAccountNumber != p.from.Number {
			t.Errorf("%+v, %v", receipt, err)
		}
	}
	system.CheckBooks(t)
}

// The key may stand in the header Idempotency-Key instead, bare or as a quoted string.
func TestIdempotencyKeyHeader(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Cabe", "50.00"), system.NewCustomer(t, "Bia Cabe", "")
	requestID := bank.Key()
	body := fmt.Sprintf(`{"destination_account_number":%q,"amount":"10.00"}`, bia.Number)
	inBody := transferTo(requestID, bia.Number, `10`)
	for i, r := range []struct{ what, body, header string }{
		{"bare", body, requestID}, {"quoted", body, `"` + requestID + `"`}, {"in the body", inBody, ""}, {"both, the same", inBody, requestID},
	} {
		header := ana.Header()
		if r.header != "" {
			header.Set("Idempotency-Key", r.header)
		}
		answer := system.Send(t, "POST", system.URL()+"/api/transfer/", r.body, header)
		bank.WantAnswer(t, r.what, answer, http.StatusOK, "")
		if answer.Replayed() != (i > 0) {
			t.Errorf("%s: replayed %t", r.what, answer.Replayed())
		}
	}
	bia.WantBalance(t, "10.00")
	system.CheckBooks(t)
}

// Fifty requests with one key at once: one transfer, and the others get its answer or are told to wait.
func TestSameKeyAtOnce(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Junto", "1000.00"), system.NewCustomer(t, "Bia Junto", "")
	requestID := bank.Key()
	const callers = 50
	receipts, errs := make([]client.Receipt, callers), make([]error, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() { receipts[i], errs[i] = ana.Transfer(t.Context(), requestID, bia.Number, "10.00") })
	}
	all.Wait()
	fresh, ids := 0, map[string]bool{}
	for i, receipt := range receipts {
		if errs[i] != nil {
			bank.WantFailure(t, "one of many", errs[i], http.StatusConflict, "REQUEST_IN_PROGRESS")
			continue
		}
		ids[receipt.TransferID] = true
		if !receipt.Replayed {
			fresh++
		}
	}
	if fresh != 1 || len(ids) != 1 {
		t.Errorf("%d first answers, %d transfers", fresh, len(ids))
	}
	bia.WantBalance(t, "10.00")
	ana.WaitBalance(t, "988.00")
	system.CheckBooks(t)
}

// A refusal stays the answer to its key, even when the balance would now suffice.
func TestRefusalIsRemembered(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Recusa", "5.00"), system.NewCustomer(t, "Bia Recusa", "")
	withdrawal, transfer := bank.Key(), bank.Key()
	for range 2 {
		_, err := ana.Move(t.Context(), withdrawal, client.Debit, "10.00")
		bank.WantFailure(t, "withdrawal", err, http.StatusBadRequest, "INSUFFICIENT_BALANCE")
		_, err = ana.Transfer(t.Context(), transfer, bia.Number, "10.00")
		bank.WantFailure(t, "transfer", err, http.StatusBadRequest, "INSUFFICIENT_BALANCE")
		ana.Deposit(t, "100.00")
	}
	ana.WantBalance(t, "205.00")
	bia.WantBalance(t, "0.00")
	ana.Pay(t, bia, "10.00") // with another key it goes through
	system.CheckBooks(t)
}

// Sixty transfers between two accounts, in both directions at once, all complete, and no money is lost.
func TestOppositeTransfers(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Oposta", "1000.00"), system.NewCustomer(t, "Bia Oposta", "1000.00")
	const pairs = 30
	var all sync.WaitGroup
	for range pairs {
		for _, p := range []struct{ from, to bank.Customer }{{ana, bia}, {bia, ana}} {
			all.Go(func() {
				if receipt, err := p.from.Transfer(t.Context(), bank.Key(), p.to.Number, "5.00"); err != nil || receipt.Status != client.Completed {
					t.Errorf("%+v, %v", receipt, err)
				}
			})
		}
	}
	all.Wait()
	ana.WaitBalance(t, "940.00") // 30 fees
	bia.WaitBalance(t, "940.00")
	system.CheckBooks(t)
}
