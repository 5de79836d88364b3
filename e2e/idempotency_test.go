package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/bankmore/bankmore/e2e/client"
)

// oddKeys are idempotency keys that something on the way could trip over.
var oddKeys = []string{
	"a||b", "||", "a/b/../c", "//", "ação-é-ñ", "ключ", "🔑💸", "%2F%00", `"quoted"`, `back\slash`, "a b", "'; DROP TABLE transfers; --", "{}", "x:debit",
	"e\u0301", "\u00e9", strings.Repeat("é", 255),
}

// The same request again gets the first answer again, marked, and moves nothing; the same key with another payload is
// refused. Keys may hold anything visible.
func TestReplay(t *testing.T) {
	ana, bia := newPerson(t, "Ana Repete", ""), newPerson(t, "Bia Repete", "")
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
		wantFailure(t, odd, err, http.StatusUnprocessableEntity, "IDEMPOTENCY_CONFLICT")
		_, err = ana.Move(t.Context(), odd, client.Debit, "12.00")
		wantFailure(t, odd, err, http.StatusUnprocessableEntity, "IDEMPOTENCY_CONFLICT")

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
		wantFailure(t, odd, err, http.StatusUnprocessableEntity, "IDEMPOTENCY_CONFLICT")
		seen, err := ana.TransferByID(t.Context(), paid.TransferID)
		if err != nil || seen.RequestID != odd {
			t.Errorf("key %q is kept as %q, %v", odd, seen.RequestID, err)
		}
	}
	bia.wantBalance(t, fmt.Sprintf("%d.00", 10*len(oddKeys)))
	ana.waitBalance(t, "0.00")
	checkLedger(t)
}

// A key is its caller's: another customer's request with the same key is another request.
func TestKeysBelongToTheirCaller(t *testing.T) {
	ana, bia, shared := newPerson(t, "Ana Chave", "50.00"), newPerson(t, "Bia Chave", "50.00"), key()
	for _, p := range []struct{ from, to person }{{ana, bia}, {bia, ana}} {
		receipt, err := p.from.Transfer(t.Context(), shared, p.to.Number, "20.00")
		if err != nil || receipt.Replayed || receipt.Origin != p.from.Number {
			t.Errorf("%+v, %v", receipt, err)
		}
	}
	checkLedger(t)
}

// The key may stand in the header Idempotency-Key instead, bare or as a quoted string.
func TestIdempotencyKeyHeader(t *testing.T) {
	ana, bia := newPerson(t, "Ana Cabe", "50.00"), newPerson(t, "Bia Cabe", "")
	requestID := key()
	body := fmt.Sprintf(`{"destination_account_number":%q,"amount":"10.00"}`, bia.Number)
	inBody := transferTo(requestID, bia.Number, `10`)
	for i, r := range []struct{ what, body, header string }{
		{"bare", body, requestID}, {"quoted", body, `"` + requestID + `"`}, {"in the body", inBody, ""}, {"both, the same", inBody, requestID},
	} {
		header := as(ana)
		if r.header != "" {
			header.Set("Idempotency-Key", r.header)
		}
		answer := send(t, "POST", system.URL()+"/api/transfer/", r.body, header)
		wantAnswer(t, r.what, answer, http.StatusOK, "")
		if answer.Replayed() != (i > 0) {
			t.Errorf("%s: replayed %t", r.what, answer.Replayed())
		}
	}
	bia.wantBalance(t, "10.00")
	checkLedger(t)
}

// Fifty requests with one key at once: one transfer, and the others get its answer or are told to wait.
func TestSameKeyAtOnce(t *testing.T) {
	ana, bia := newPerson(t, "Ana Junto", "1000.00"), newPerson(t, "Bia Junto", "")
	requestID := key()
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
			wantFailure(t, "one of many", errs[i], http.StatusConflict, "REQUEST_IN_PROGRESS")
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
	bia.wantBalance(t, "10.00")
	ana.waitBalance(t, "988.00")
	checkLedger(t)
}

// A refusal stays the answer to its key, even when the balance would now suffice.
func TestRefusalIsRemembered(t *testing.T) {
	ana, bia := newPerson(t, "Ana Recusa", "5.00"), newPerson(t, "Bia Recusa", "")
	withdrawal, transfer := key(), key()
	for range 2 {
		_, err := ana.Move(t.Context(), withdrawal, client.Debit, "10.00")
		wantFailure(t, "withdrawal", err, http.StatusBadRequest, "INSUFFICIENT_BALANCE")
		_, err = ana.Transfer(t.Context(), transfer, bia.Number, "10.00")
		wantFailure(t, "transfer", err, http.StatusBadRequest, "INSUFFICIENT_BALANCE")
		ana.deposit(t, "100.00")
	}
	ana.wantBalance(t, "205.00")
	bia.wantBalance(t, "0.00")
	ana.pay(t, bia, "10.00") // with another key it goes through
	checkLedger(t)
}

// Transfers back and forth between two accounts, all at once, end and lose nothing.
func TestOppositeTransfers(t *testing.T) {
	ana, bia := newPerson(t, "Ana Oposta", "1000.00"), newPerson(t, "Bia Oposta", "1000.00")
	const pairs = 30
	var all sync.WaitGroup
	for range pairs {
		for _, p := range []struct{ from, to person }{{ana, bia}, {bia, ana}} {
			all.Go(func() {
				if receipt, err := p.from.Transfer(t.Context(), key(), p.to.Number, "5.00"); err != nil || receipt.Status != client.Completed {
					t.Errorf("%+v, %v", receipt, err)
				}
			})
		}
	}
	all.Wait()
	ana.waitBalance(t, "940.00") // 30 fees
	bia.waitBalance(t, "940.00")
	checkLedger(t)
}

// A fee that the account cannot pay waits, and is collected once there is money.
func TestFeeWaitsForMoney(t *testing.T) {
	ana, bia := newPerson(t, "Ana Deve", "10.00"), newPerson(t, "Bia Deve", "")
	ana.pay(t, bia, "10.00")
	settle(t)
	fees, err := ana.Fees(t.Context(), client.Query{})
	if err != nil || len(fees.Items) != 1 || fees.Items[0].Status != client.Pending || fees.Items[0].ChargedAt != nil {
		t.Fatalf("fees %+v, %v", fees.Items, err)
	}
	ana.deposit(t, "5.00")
	ana.waitBalance(t, "3.00")
	checkLedger(t)
}
