package accounttest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
)

func thens(t *testing.T, b bank) {
	b.open(ana, 100)
	b.open(bia, 0)
	b.open(full, accountapi.MaxBalance)
	fresh, again := accountapi.Outcome{}, accountapi.Outcome{Replayed: true}
	refused := func(r *accountapi.Refusal, replayed bool) accountapi.Outcome {
		return accountapi.Outcome{Refusal: r, Replayed: replayed}
	}

	both := pair("t1", ana, bia, 60)
	b.wantBoth(both, fresh, &fresh)
	b.wantBalance(ana, 40)
	b.wantBalance(bia, 60)
	b.wantBoth(both, again, &again)
	b.want(debit("t1", ana, bia, 60), nil, true)
	b.want(credit("t1", ana, bia, 60), nil, true)

	tooMuch := pair("t2", ana, bia, 41)
	for _, replayed := range []bool{false, true} {
		b.wantBoth(tooMuch, refused(accountapi.InsufficientBalance, replayed), nil)
		b.wantUndecided("t2:credit")
	}
	b.want(*tooMuch.Then, nil, false) // the key is free, and the ledger does not ask where the money comes from
	b.wantBoth(tooMuch, refused(accountapi.InsufficientBalance, true), nil)
	b.wantBalance(bia, 101)

	noRoom := pair("t3", ana, full, 40)
	for _, replayed := range []bool{false, true} {
		b.wantBoth(noRoom, accountapi.Outcome{Replayed: replayed}, new(refused(accountapi.BalanceLimit, replayed)))
		b.wantBalance(ana, 0)
		b.wantBalance(full, accountapi.MaxStanding)
	}
	b.want(refund("t3", ana, full, 40), nil, false)
	b.wantBoth(noRoom, again, new(refused(accountapi.BalanceLimit, true)))
	b.wantBalance(ana, 40)

	// What follows sees the effect of the movement before it.
	b.wantBoth(then(credit("t4", bia, ana, 10), fee("t4", ana, 50)), fresh, &fresh)
	b.wantBalance(ana, 0)

	// In one call, each Then is decided before the next command.
	results, err := b.send(pair("t5", bia, ana, 5), pair("t6", ana, bia, 5), pair("t7", ana, bia, 1), pair("t5", bia, ana, 5))
	applied, repeated := accountapi.MovementResult{Status: accountapi.StatusApplied}, accountapi.MovementResult{Status: accountapi.StatusApplied, Replayed: true}
	two, twoRepeated, r := applied, repeated, accountapi.InsufficientBalance
	two.Then, twoRepeated.Then = &applied, &repeated
	want := []accountapi.MovementResult{two, two, {Status: accountapi.StatusRefused, Type: r.Type, Message: r.Message}, twoRepeated}
	if diff := cmp.Diff(want, results); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	b.wantBalance(ana, 0)
	b.wantBalance(bia, 101)
}

func thenKeys(t *testing.T, b bank) {
	b.open(ana, 1000)
	b.open(bia, 0)
	fresh, again := accountapi.Outcome{}, accountapi.Outcome{Replayed: true}

	// One of the two came alone before, in whatever order.
	b.want(debit("t1", ana, bia, 10), nil, false)
	b.wantBoth(pair("t1", ana, bia, 10), again, &fresh)
	b.want(credit("t2", ana, bia, 10), nil, false)
	b.wantBoth(pair("t2", ana, bia, 10), fresh, &again)
	b.wantBalance(ana, 980)
	b.wantBalance(bia, 20)

	// The Then has another payload than its key: it is rejected, and the movement before it stands.
	b.wantBoth(then(debit("t3", ana, bia, 10), credit("t1", ana, bia, 11)), fresh, nil)
	results, err := b.send(then(debit("t3", ana, bia, 10), credit("t1", ana, bia, 11)))
	if err != nil || len(results) != 1 || results[0].Status != accountapi.StatusApplied || !results[0].Replayed || results[0].Then == nil ||
		results[0].Then.Status != accountapi.StatusRejected || results[0].Then.Type != fault.TypeIdempotencyConflict {
		t.Errorf("%+v, %v", results, err)
	}
	b.wantBalance(bia, 20)

	// The movement itself has another payload than its key: it is rejected, and its Then is not decided.
	results, err = b.send(then(debit("t3", ana, bia, 11), credit("t3", ana, bia, 11)))
	if err != nil || len(results) != 1 || results[0].Status != accountapi.StatusRejected || results[0].Then != nil {
		t.Errorf("%+v, %v", results, err)
	}
	b.wantUndecided("t3:credit")

	// A Then does not belong to the payload of the movement before it.
	b.wantBoth(then(debit("t3", ana, bia, 10), credit("t3", ana, bia, 7)), again, &fresh)
	b.wantBoth(then(debit("t3", ana, bia, 10), credit("t4", ana, bia, 7)), again, &fresh)
	b.wantBalance(ana, 970)
	b.wantBalance(bia, 34)
}

func malformedThens(t *testing.T, b bank) {
	b.open(ana, 100)
	b.open(bia, 0)
	good := pair("t1", ana, bia, 1)
	for i, next := range []accountapi.Movement{
		{},
		with(*good.Then, func(m *accountapi.Movement) { m.RequestID = "" }),
		with(*good.Then, func(m *accountapi.Movement) { m.Amount = 0 }),
		with(*good.Then, func(m *accountapi.Movement) { m.Kind = "deposit" }),
		with(*good.Then, func(m *accountapi.Movement) { m.Description = "\x00" }),
		then(*good.Then, fee("t1", bia, 1)),
		then(*good.Then, accountapi.Movement{}),
	} {
		bad := then(good, next)
		if outcome, err := b.Move(t.Context(), bad); err == nil {
			t.Errorf("Then %d: %+v", i, outcome)
		}
		results, err := b.send(bad)
		if err != nil || len(results) != 1 || results[0].Status != accountapi.StatusRejected || results[0].Type != fault.TypeInvalidArgument || results[0].Then != nil {
			t.Errorf("Then %d: %+v, %v", i, results, err)
		}
	}
	bad := good
	bad.Amount = 0
	if outcome, err := b.Move(t.Context(), bad); err == nil {
		t.Errorf("a malformed movement with a good Then: %+v", outcome)
	}
	b.wantUndecided("t1:debit", "t1:credit", "t1:fee")
	b.wantBoth(good, accountapi.Outcome{}, &accountapi.Outcome{})
}

// Pairs in both directions, each sent twice at once.
func pairsAtOnce(t *testing.T, b bank) {
	const transfers = 64
	b.open(ana, 1000)
	b.open(bia, 1000)
	var first, firstThen atomic.Int32
	var all sync.WaitGroup
	for i := range 2 * transfers {
		from, to := ana, bia
		if i/2%2 == 1 {
			from, to = bia, ana
		}
		all.Go(func() {
			outcome, err := b.Move(t.Context(), pair(fmt.Sprint("t", i/2), from, to, 10))
			if err != nil || outcome.Refusal != nil || outcome.Then == nil || outcome.Then.Refusal != nil {
				t.Errorf("%+v, %v", outcome, err)
				return
			}
			if !outcome.Replayed {
				first.Add(1)
			}
			if !outcome.Then.Replayed {
				firstThen.Add(1)
			}
		})
	}
	all.Wait()
	if first.Load() != transfers || firstThen.Load() != transfers {
		t.Errorf("%d transfers: %d debits and %d credits were the first", transfers, first.Load(), firstThen.Load())
	}
	b.wantBalance(ana, 1000)
	b.wantBalance(bia, 1000)
}
