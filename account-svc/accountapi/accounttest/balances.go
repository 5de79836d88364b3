package accounttest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/account-svc/accountapi"
)

func balances(t *testing.T, b bank) {
	b.open(ana, 100)
	b.open(bia, 0)
	b.open(closed, 0)
	b.Close(t, closed)
	b.open(full, accountapi.MaxBalance)
	b.want(fee("t1", ana, 2), nil, false)
	b.want(fee("t2", ana, 200), accountapi.InsufficientBalance, false)
	got, err := b.Balances(t.Context(), []accountapi.BalanceQuestion{
		{AccountNumber: bia, RequestIDs: []string{"t1:fee"}}, // the key of another account
		{AccountNumber: ana, RequestIDs: []string{"t2:fee", "t3:fee", "t1:fee", ""}},
		{AccountNumber: closed},
		{AccountNumber: nobody, RequestIDs: []string{"t4:fee"}},
		{AccountNumber: full},
		{AccountNumber: "no number"},
		{AccountNumber: ana},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []accountapi.Standing{
		{AccountNumber: bia, Active: true, Decided: []string{"t1:fee"}},
		{AccountNumber: ana, Active: true, Balance: 98, Decided: []string{"t2:fee", "t1:fee"}},
		{AccountNumber: closed},
		{AccountNumber: nobody},
		{AccountNumber: full, Active: true, Balance: accountapi.MaxStanding},
		{AccountNumber: "no number"},
		{AccountNumber: ana, Active: true, Balance: 98},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A standing may not have a movement in its balance and hide that its key is decided: the caller would send the movement
// again for a balance that does not cover it any more.
func balancesIncludeDecided(t *testing.T, b bank) {
	const fees = 40
	b.open(ana, 100*fees)
	ids := make([]string, fees)
	for i := range ids {
		ids[i] = fee(fmt.Sprint("t", i), ana, 100).RequestID
	}
	var payer sync.WaitGroup
	payer.Go(func() {
		for i := range fees {
			if outcome, err := b.Move(t.Context(), fee(fmt.Sprint("t", i), ana, 100)); err != nil || outcome.Refusal != nil {
				t.Errorf("%+v, %v", outcome, err)
			}
		}
	})
	for paid := 0; paid < fees && !t.Failed(); {
		s := b.standing(ana, ids...)
		if paid = int(100*fees-s.Balance) / 100; len(s.Decided) < paid {
			t.Errorf("%d fees are paid, and %d decided", paid, len(s.Decided))
		}
	}
	payer.Wait()
}
