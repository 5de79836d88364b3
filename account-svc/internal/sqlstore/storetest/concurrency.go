package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/money"
)

func concurrentDebits(t *testing.T, s Store) {
	register(t, s, "11")
	apply(t, s, cash("money", "11", ledger.Credit, 1000))
	books := replicas(t, s)
	results := make([]ledger.Result, 100)
	parallel(len(results), func(i int) {
		var err error
		if results[i], err = ledger.ApplyOne(t.Context(), books[i%2], cash(fmt.Sprint("k", i), "11", ledger.Debit, 30)); err != nil {
			t.Error(err)
		}
	})
	applied := 0
	for _, r := range results {
		if r.Refusal == nil {
			applied++
		}
	}
	if got := balance(t, s, "11"); applied != 33 || got != 10 {
		t.Errorf("%d debits of 30 were applied to 1000, which leaves %v", applied, got)
	}
}

// Decided sends a service's command until it is decided, as services do, for a minute at most. On a slow machine another transaction
// may lock its account for so long that the ledger leaves it undecided.
func Decided(ctx context.Context, l ledger.Ledger, c ledger.Command) (result ledger.Result, err error) {
	for began := time.Now(); time.Since(began) < time.Minute; {
		if result, err = ledger.ApplyOne(ctx, l, c); !errors.Is(err, batch.ErrStraggler) {
			break
		}
	}
	return result, err
}

func oppositeTransfers(t *testing.T, s Store) {
	register(t, s, "11")
	register(t, s, "22")
	apply(t, s, cash("m1", "11", ledger.Credit, 500), cash("m2", "22", ledger.Credit, 500))
	books := replicas(t, s)
	parallel(60, func(i int) {
		from, to := "11", "22"
		if i%2 == 1 {
			from, to = to, from
		}
		id := fmt.Sprint("t", i)
		leg := ledger.Command{
			RequestKey: id + ":debit", Fingerprint: "f", AccountNumber: from, Type: ledger.Debit, Kind: ledger.Transfer,
			Amount: 100, Counterparty: to, TransferID: id,
		}
		r, err := Decided(t.Context(), books[i/2%2], leg)
		if err != nil {
			t.Error(err)
		}
		if err != nil || r.Refusal != nil {
			return
		}
		leg.RequestKey, leg.AccountNumber, leg.Counterparty, leg.Type = id+":credit", to, from, ledger.Credit
		if r, err := Decided(t.Context(), books[i%2], leg); err != nil || r.Refusal != nil {
			t.Error(r, err)
		}
	})
	if a, b := balance(t, s, "11"), balance(t, s, "22"); a+b != 1000 {
		t.Errorf("balances %v and %v", a, b)
	}
}

// Pairs lock two accounts each, in opposite directions at once. No transaction has to be repeated because of a deadlock.
func oppositePairs(t *testing.T, s Store) {
	for i := range 4 {
		number := fmt.Sprint(i)
		register(t, s, number)
		apply(t, s, cash("money "+number, number, ledger.Credit, 1000))
	}
	book, before := ledger.New(s), repeated(t)
	parallel(8, func(sender int) {
		for round := range 25 {
			from, to := (sender+round)%4, (3*sender+2*round+1)%4
			if from == to {
				to = (to + 1) % 4
			}
			r, err := ledger.ApplyOne(t.Context(), book, pair(fmt.Sprint(sender, "-", round), fmt.Sprint(from), fmt.Sprint(to), 1))
			if err != nil || r.Refusal != nil || r.Then == nil || *r.Then != (ledger.Result{}) {
				t.Errorf("%+v, %v", r, err)
			}
		}
	})
	var sum money.Cents
	for i := range 4 {
		sum += balance(t, s, fmt.Sprint(i))
	}
	if sum != 4000 {
		t.Errorf("the accounts hold %v", sum)
	}
	if n := repeated(t) - before; n != 0 {
		t.Errorf("%v transactions were repeated", n)
	}
}

// repeated returns how many transactions of this process have been begun anew.
func repeated(t *testing.T) float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "bankmore_database_transactions_repeated_total" {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatal("nothing counts repeated transactions")
	return 0
}

func concurrentSameKey(t *testing.T, s Store) {
	register(t, s, "11")
	books := replicas(t, s)
	var mu sync.Mutex
	fresh := 0
	parallel(100, func(i int) {
		r, err := ledger.ApplyOne(t.Context(), books[i%2], cash("k", "11", ledger.Credit, 7))
		if err != nil || r.Refusal != nil {
			t.Error(r, err)
		}
		if !r.Replayed {
			mu.Lock()
			fresh++
			mu.Unlock()
		}
	})
	if got := balance(t, s, "11"); got != 7 || fresh != 1 {
		t.Errorf("balance %v, %d answers claim to be the first", got, fresh)
	}
}
