package groupcommit_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/groupcommit"
	"github.com/bankmore/bankmore/platform/batch"
)

// store is a store whose transactions take a second. One with account 13 fails. Settlements of the fee "late" have no effect.
type store struct {
	groupcommit.Inner
	transactions atomic.Int64
}

// errBad is a failure of one input.
var errBad error = bad{errors.New("refused by the database")}

type bad struct{ error }

func (bad) Extent() batch.Extent { return batch.OneInput }

func (s *store) Add(_ context.Context, fees []fee.Fee) ([]bool, error) {
	s.transactions.Add(1)
	time.Sleep(time.Second)
	added := make([]bool, len(fees))
	for i, f := range fees {
		if f.AccountNumber == "13" {
			return nil, errBad
		}
		added[i] = f.ID == "new"
	}
	return added, nil
}

func (s *store) Settle(_ context.Context, settlements []fee.Settlement, releases []fee.Release) ([]fee.Settlement, error) {
	s.transactions.Add(1)
	if slices.ContainsFunc(releases, func(r fee.Release) bool { return r.AccountNumber == "13" }) {
		return nil, errBad
	}
	for _, one := range settlements { // each stands beside the release of its debtor
		if !slices.ContainsFunc(releases, func(r fee.Release) bool { return r.AccountNumber == one.AccountNumber }) {
			return nil, errors.New("a settlement without its release")
		}
	}
	return slices.DeleteFunc(slices.Clone(settlements), func(s fee.Settlement) bool { return s.ID == "late" }), nil
}

// While a transaction is under way, fees that arrive wait, and share the next one.
func TestCallersShareATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &store{}
		commits := groupcommit.New(inner)
		defer commits.Close()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if added, err := commits.Add(t.Context(), []fee.Fee{{ID: "new", AccountNumber: "1"}}); err != nil || !added[0] {
					t.Error(added, err)
				}
			})
		}
		all.Wait()
		if n := inner.transactions.Load(); n > 2 {
			t.Errorf("100 fees took %d transactions, want 2", n)
		}
	})
}

// A fee that makes the transaction fail has an error of its own.
func TestOneFeeFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		commits := groupcommit.New(&store{})
		defer commits.Close()
		added, err := commits.Add(t.Context(), []fee.Fee{{ID: "new", AccountNumber: "1"}, {ID: "new", AccountNumber: "13"}, {ID: "present", AccountNumber: "2"}})
		var failures fee.Failures
		if !errors.As(err, &failures) || !slices.Equal(failures, fee.Failures{nil, errBad, nil}) {
			t.Errorf("%#v, want an error of the second fee", err)
		}
		if !slices.Equal(added, []bool{true, false, false}) {
			t.Errorf("added %t", added)
		}
	})
}

// A round is one transaction. A debtor that makes it fail stays as it was, and the others are settled.
func TestOneDebtorFailsAlone(t *testing.T) {
	settle := func(inner groupcommit.Inner, accounts ...string) ([]fee.Settlement, error) {
		commits := groupcommit.New(inner)
		defer commits.Close()
		var settlements []fee.Settlement
		var releases []fee.Release
		for _, number := range accounts {
			settlements = append(settlements, fee.Settlement{ID: "fee of " + number, AccountNumber: number}, fee.Settlement{ID: "late", AccountNumber: number})
			releases = append(releases, fee.Release{AccountNumber: number})
		}
		return commits.Settle(t.Context(), settlements, releases)
	}
	inner := &store{}
	effective, err := settle(inner, "1", "2", "3")
	want := []fee.Settlement{{ID: "fee of 1", AccountNumber: "1"}, {ID: "fee of 2", AccountNumber: "2"}, {ID: "fee of 3", AccountNumber: "3"}}
	if err != nil || !slices.Equal(effective, want) || inner.transactions.Load() != 1 {
		t.Errorf("%+v, %v in %d transactions", effective, err, inner.transactions.Load())
	}
	effective, err = settle(inner, "1", "13", "2", "3")
	if !errors.Is(err, errBad) || !slices.Equal(effective, want) {
		t.Errorf("beside a debtor that fails: %+v, %v, want %+v", effective, err, want)
	}
}
