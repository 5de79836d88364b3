package metered

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
)

// queue is a queue with this backlog. Only its settlements of the fee "fresh" take effect.
type queue struct {
	fee.Queue
	backlog fee.Backlog
	err     error
}

func (q queue) Settle(_ context.Context, settlements []fee.Settlement, _ []fee.Release) (effective []fee.Settlement, err error) {
	for _, s := range settlements {
		if s.ID == "fresh" {
			effective = append(effective, s)
		}
	}
	return effective, q.err
}

func (q queue) Backlog(context.Context) (fee.Backlog, error) { return q.backlog, q.err }

// Settlements that take effect count by their outcome, also if others of the round fail. Each debtor of the round counts by
// what the ledger said.
func TestRoundsAreCounted(t *testing.T) {
	settled := map[string]fee.Settlement{
		"charged": {ID: "fresh", Attempt: 1, Status: fee.Charged, Next: 1},
		"refused": {ID: "fresh", Attempt: 1, Status: fee.Pending, Next: 2},
		"waived":  {ID: "fresh", Attempt: 1, Status: fee.Waived, Next: 1},
		"unknown": {ID: "fresh", Attempt: 1, Status: fee.Pending, Next: 1},
	}
	for outcome, one := range settled {
		late := one
		late.ID = "settled by another collector"
		before := testutil.ToFloat64(outcomes.WithLabelValues(outcome))
		q := NewQueue(queue{err: errors.New("another debtor has failed")})
		if _, err := q.Settle(t.Context(), []fee.Settlement{one, late}, nil); err == nil {
			t.Error("the error is lost")
		}
		if n := testutil.ToFloat64(outcomes.WithLabelValues(outcome)) - before; n != 1 {
			t.Errorf("%s: %v more, want 1", outcome, n)
		}
	}
	for _, found := range []fee.Finding{fee.Covered, fee.Short, fee.Inactive, fee.Unanswered} {
		answer := asked.WithLabelValues(string(found))
		before := testutil.ToFloat64(answer)
		if _, err := NewQueue(queue{}).Settle(t.Context(), nil, []fee.Release{{Found: found}}); err != nil {
			t.Error(err)
		}
		if n := testutil.ToFloat64(answer) - before; n != 1 {
			t.Errorf("%s: %v more, want 1", found, n)
		}
	}
}

// The gauges tell fees that wait for balance, perhaps for months, from fees that an operator must look after.
func TestGaugesTellWhatFeesWaitFor(t *testing.T) {
	for name, test := range map[string]struct {
		backlog fee.Backlog
		age     float64
	}{
		"nothing":     {fee.Backlog{}, 0},
		"for balance": {fee.Backlog{ForBalance: 3}, 0},
		"both":        {fee.Backlog{ForCollection: 2, ForBalance: 3, Age: 10 * time.Minute}, 600},
	} {
		if _, err := NewQueue(queue{backlog: test.backlog}).Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		collection, balance := pendingFees.WithLabelValues("collection"), pendingFees.WithLabelValues("balance")
		want := [2]float64{float64(test.backlog.ForCollection), float64(test.backlog.ForBalance)}
		if got := [2]float64{testutil.ToFloat64(collection), testutil.ToFloat64(balance)}; got != want {
			t.Errorf("%s: %v wait for collection and balance, want %v", name, got, want)
		}
		if age := testutil.ToFloat64(oldestPending); age != test.age {
			t.Errorf("%s: the oldest waits for %v s, want %v", name, age, test.age)
		}
	}
}

// Each series is there from the start, with the value 0.
func TestSeriesBeginAtZero(t *testing.T) {
	for name, want := range map[string]int{
		"bankmore_fee_collections_total": 4, "bankmore_fee_debtors_asked_total": 4, "bankmore_fee_pending": 2, "bankmore_fee_pending_oldest_seconds": 1,
	} {
		if n, err := testutil.GatherAndCount(prometheus.DefaultGatherer, name); err != nil || n != want {
			t.Errorf("%s has %d series, want %d (%v)", name, n, want, err)
		}
	}
}
