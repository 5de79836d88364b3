package metered

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// store is a store in which steps of the transfer "stale" have no effect.
type store struct {
	transfer.Store
	backlog map[transfer.State]transfer.Backlog
	err     error
}

func (s store) Commit(_ context.Context, changes transfer.Changes) (done transfer.Committed, err error) {
	for _, step := range changes.Steps {
		at := time.Now()
		if step.After.ID == "stale" {
			at = time.Time{}
		}
		done.Stepped = append(done.Stepped, at)
	}
	return done, s.err
}

func (s store) Backlog(context.Context) (map[transfer.State]transfer.Backlog, error) {
	return s.backlog, s.err
}

// counters returns the counters of transfers, by name and labels.
func counters(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			if strings.HasPrefix(name, "bankmore_transfer") && m.GetCounter() != nil {
				all[name] = m.GetCounter().GetValue()
			}
		}
	}
	return all
}

// wantCounted checks that f adds 1 to the counters with these names, and nothing to others.
func wantCounted(t *testing.T, f func(), names ...string) {
	t.Helper()
	before := counters(t)
	f()
	var counted []string
	for name, n := range counters(t) {
		if n != before[name] {
			counted = append(counted, fmt.Sprintf("%s %+v", name, n-before[name]))
		}
	}
	for i, name := range names {
		names[i] = name + " 1"
	}
	if slices.Sort(counted); !slices.Equal(counted, names) {
		t.Errorf("counted %q, want %q", counted, names)
	}
}

func TestStepsAndReleasesAreCounted(t *testing.T) {
	step := func(from, to transfer.State, claims int) transfer.Changes {
		return transfer.Changes{Steps: []transfer.Step{{From: from, After: transfer.Transfer{ID: "t", State: to, Claims: claims}}}}
	}
	release := func(claims int) transfer.Changes {
		return transfer.Changes{Releases: []transfer.Release{{ID: "t", Claims: claims}}}
	}
	stale := step(transfer.Debited, transfer.Completed, 1)
	stale.Steps[0].After.ID = "stale"
	const finished, recovered = "bankmore_transfers_finished_total ", "bankmore_transfer_recoveries_total "
	for name, test := range map[string]struct {
		changes transfer.Changes
		want    []string
	}{
		"not at the end yet":          {step(transfer.Pending, transfer.Debited, 1), nil},
		"completed by its request":    {step(transfer.Pending, transfer.Completed, 0), []string{finished + "completed"}},
		"completed in two calls":      {step(transfer.Debited, transfer.Completed, 0), []string{finished + "completed"}},
		"not refunded yet":            {step(transfer.Pending, transfer.Refunding, 1), nil},
		"refused":                     {step(transfer.Pending, transfer.Failed, 0), []string{finished + "refused"}},
		"refunded":                    {step(transfer.Refunding, transfer.Failed, 0), []string{finished + "refunded"}},
		"completed by recovery":       {step(transfer.Debited, transfer.Completed, 2), []string{recovered + "COMPLETED", finished + "completed"}},
		"refunded by recovery":        {step(transfer.Refunding, transfer.Failed, 1), []string{recovered + "FAILED", finished + "refunded"}},
		"ended by another driver":     {stale, nil},
		"left to recovery":            {release(0), []string{"bankmore_transfers_handed_over_total"}},
		"recovery has not got so far": {release(1), []string{recovered + "unknown"}},
	} {
		t.Run(name, func(t *testing.T) {
			wantCounted(t, func() { _, _ = NewStore(store{}).Commit(t.Context(), test.changes) }, test.want...)
		})
	}
	down := NewStore(store{err: errors.New("away")})
	wantCounted(t, func() { _, _ = down.Commit(t.Context(), step(transfer.Debited, transfer.Completed, 1)) })
	wantCounted(t, func() { _, _ = down.Commit(t.Context(), release(1)) }, recovered+"unknown")
}

// ledger gives the same answer to every leg.
type ledger struct {
	outcome accountapi.Outcome
	err     error
}

func (l ledger) Move(context.Context, accountapi.Movement) (accountapi.Outcome, error) {
	return l.outcome, l.err
}

func TestAnswersAreCounted(t *testing.T) {
	applied, refusal := accountapi.Outcome{}, accountapi.Outcome{Refusal: accountapi.InactiveAccount}
	for _, test := range []struct {
		state transfer.State
		inner ledger
		want  []string // leg and verdict
	}{
		{transfer.Pending, ledger{outcome: accountapi.Outcome{Then: &applied}}, []string{"credit done", "debit done"}},
		{transfer.Pending, ledger{outcome: accountapi.Outcome{Then: &refusal}}, []string{"credit refused", "debit done"}},
		{transfer.Pending, ledger{outcome: applied}, []string{"credit left_out", "debit done"}},
		{transfer.Pending, ledger{outcome: refusal}, []string{"debit refused"}},
		{transfer.Pending, ledger{err: errors.New("away")}, []string{"credit unknown", "debit unknown"}},
		{transfer.Debited, ledger{outcome: applied}, []string{"credit done"}},
		{transfer.Debited, ledger{outcome: refusal}, []string{"credit refused"}},
		{transfer.Debited, ledger{err: errors.New("away")}, []string{"credit unknown"}},
		{transfer.Refunding, ledger{outcome: applied}, []string{"refund done"}},
		{transfer.Refunding, ledger{outcome: refusal}, []string{"refund refused"}},
		{transfer.Refunding, ledger{err: errors.New("away")}, []string{"refund unknown"}},
	} {
		var want []string
		for _, counted := range test.want {
			want = append(want, "bankmore_transfer_leg_answers_total "+counted)
		}
		wantCounted(t, func() {
			m := transfer.Transfer{ID: "t", State: test.state}.Movement()
			if outcome, err := NewLedger(test.inner).Move(t.Context(), m); outcome != test.inner.outcome || !errors.Is(err, test.inner.err) {
				t.Errorf("%+v, %v, want %+v", outcome, err, test.inner)
			}
		}, want...)
	}
}

// Each state has its gauges, which go back to 0.
func TestGauges(t *testing.T) {
	waiting := map[transfer.State]transfer.Backlog{transfer.Debited: {Count: 3, Age: time.Hour}}
	for _, backlog := range []map[transfer.State]transfer.Backlog{waiting, {}} {
		if _, err := NewStore(store{backlog: backlog}).Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, state := range transfer.Unfinished {
			count, age := testutil.ToFloat64(unfinished.WithLabelValues(string(state))), testutil.ToFloat64(oldest.WithLabelValues(string(state)))
			want := float64(backlog[state].Count) * 1200 // an hour for three
			if count != float64(backlog[state].Count) || age != want {
				t.Errorf("%s: %v transfers, the oldest for %v s", state, count, age)
			}
		}
	}
	if _, err := NewStore(store{err: errors.New("away")}).Measure(t.Context()); err == nil {
		t.Error("a backlog that is not known is measured")
	}
}
