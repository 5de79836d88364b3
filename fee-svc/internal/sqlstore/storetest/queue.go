package storetest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/fee-svc/feeapi"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
)

func claimsAreDueAndLeased(t *testing.T, store Store) {
	fees := pending("18", 2)
	fees[1].Status, fees[1].Reason = fee.Waived, fee.ReasonDisabled
	add(t, store, fees...)
	want := []fee.Claim{{Fee: fees[0], Attempt: 1}}
	for _, step := range []struct {
		after time.Duration
		want  []fee.Claim
	}{
		{-time.Microsecond, nil},
		{0, want},
		{time.Minute - time.Microsecond, nil},
		{time.Minute, want}, // the lease has ended
		{90 * time.Second, nil},
	} {
		if diff := cmp.Diff(step.want, claim(t, store, step.after, 10)); diff != "" {
			t.Errorf("after %s: %s", step.after, diff)
		}
	}
}

func claimsTakeTheLongestDue(t *testing.T, store Store) {
	fees := pending("18", 5)
	for i, minutes := range []int{3, 1, 5, 2, 4} {
		fees[i].CreatedAt = start.Add(-time.Duration(minutes) * time.Minute)
	}
	add(t, store, fees...)
	first := claim(t, store, 0, 2)
	if got, want := ids(first), []string{fees[2].ID, fees[4].ID}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := ids(claim(t, store, 0, 10)), []string{fees[0].ID, fees[1].ID, fees[3].ID}; !slices.Equal(got, want) {
		t.Errorf("the rest: got %v, want %v, in the order of their ids", got, want)
	}
}

func ids(claims []fee.Claim) []string {
	var ids []string
	for _, c := range claims {
		ids = append(ids, c.ID)
	}
	return ids
}

func concurrentClaims(t *testing.T, store Store) {
	const collectors, each = 8, 10
	add(t, store, pending("18", collectors*each)...)
	var mu sync.Mutex
	seen := map[string]int{}
	var waiting sync.WaitGroup
	for range collectors {
		waiting.Go(func() {
			claims, err := store.Claim(t.Context(), start, start.Add(time.Minute), each)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, c := range claims {
				seen[c.ID]++
			}
		})
	}
	waiting.Wait()
	for id, n := range seen {
		if n != 1 {
			t.Errorf("fee %s was claimed %d times", id, n)
		}
	}
	if rest := claim(t, store, 0, 1000); len(seen)+len(rest) != collectors*each {
		t.Errorf("%d claimed at once, %d afterwards, of %d", len(seen), len(rest), collectors*each)
	}
}

func recall(t *testing.T, store Store) {
	fees := pending("18", 6)
	add(t, store, fees...)
	claim(t, store, 0, 10)
	latest := start.Add(time.Hour)
	late := latest.Add(time.Microsecond)
	waived := asWaived(fees[1].ID, 1)
	waived.DueAt = late
	settle(t, store, asRefused(fees[0].ID, 1, latest), waived,
		asRefused(fees[2].ID, 1, late), asUnknown(fees[3].ID, 1, 1, late), asUnknown(fees[4].ID, 1, 1, start.Add(87600*time.Hour)))
	now := start.Add(time.Second) // fees[5] is leased
	for i, want := range []int{2, 1, 0} {
		if got, err := store.Recall(t.Context(), now, latest, 2); err != nil || got != want {
			t.Errorf("recall %d: got %d, %v; want %d", i, got, err, want)
		}
	}
	fees[2].Reason = fee.ReasonInsufficientBalance
	want := []fee.Claim{{Fee: fees[2], Attempt: 2}, {Fee: fees[3], Attempt: 1, Unknowns: 1}, {Fee: fees[4], Attempt: 1, Unknowns: 1}}
	if got := claim(t, store, time.Second-time.Microsecond, 10); len(got) != 0 {
		t.Errorf("claimed too early: %+v", got)
	}
	if diff := cmp.Diff(want, claim(t, store, time.Second, 10)); diff != "" {
		t.Error(diff)
	}
}

func charged(t *testing.T, store Store) {
	want := pending("18", 1)[0]
	add(t, store, want)
	claim(t, store, 0, 1)
	if got := settle(t, store, asCharged(want.ID, 1)); len(got) != 1 {
		t.Fatalf("effective: %+v", got)
	}
	want.Status, want.ChargedAt = fee.Charged, start.Add(time.Second)
	if diff := cmp.Diff(want, load(t, store, want.ID)); diff != "" {
		t.Error(diff)
	}
	// Charged is final: nothing changes it, and its event is there once.
	for _, again := range []fee.Settlement{
		asCharged(want.ID, 1), asRefused(want.ID, 1, start), asUnknown(want.ID, 1, 1, start), asWaived(want.ID, 1),
	} {
		if got := settle(t, store, again); len(got) != 0 {
			t.Errorf("effective on a charged fee: %+v", got)
		}
	}
	if got := claim(t, store, 24*time.Hour, 10); len(got) != 0 {
		t.Errorf("claimed: %+v", got)
	}
	if diff := cmp.Diff(want, load(t, store, want.ID)); diff != "" {
		t.Error(diff)
	}
	events := store.Events(t)
	wantEvent := feeapi.Charged{ID: want.ID, TransferID: want.TransferID, AccountNumber: "18", Amount: 200, ChargedAt: want.ChargedAt}
	if diff := cmp.Diff([]feeapi.Charged{wantEvent}, events); diff != "" {
		t.Error(diff)
	}
}

func refused(t *testing.T, store Store) {
	f := pending("18", 1)[0]
	add(t, store, f)
	claim(t, store, 0, 1)
	settle(t, store, asUnknown(f.ID, 1, 1, start))
	due := start.Add(time.Hour)
	if got := settle(t, store, asRefused(f.ID, 1, due)); len(got) != 1 {
		t.Fatalf("effective: %+v", got)
	}
	f.Reason = fee.ReasonInsufficientBalance
	if got := claim(t, store, time.Hour-time.Microsecond, 1); len(got) != 0 {
		t.Errorf("claimed too early: %+v", got)
	}
	if diff := cmp.Diff([]fee.Claim{{Fee: f, Attempt: 2}}, claim(t, store, time.Hour, 1)); diff != "" {
		t.Errorf("the next attempt: %s", diff)
	}
	// What comes late about an attempt that has been settled changes nothing.
	for _, late := range []fee.Settlement{
		asRefused(f.ID, 1, start), asUnknown(f.ID, 1, 9, start), asWaived(f.ID, 1), asRefused(f.ID, 3, start),
	} {
		if got := settle(t, store, late); len(got) != 0 {
			t.Errorf("effective: %+v", got)
		}
	}
	if diff := cmp.Diff([]fee.Claim{{Fee: f, Attempt: 2}}, claim(t, store, 2*time.Hour, 1)); diff != "" {
		t.Error(diff)
	}
	if events := store.Events(t); len(events) != 0 {
		t.Errorf("events: %+v", events)
	}
}

func unknown(t *testing.T, store Store) {
	f := pending("18", 1)[0]
	add(t, store, f)
	claim(t, store, 0, 1)
	settle(t, store, asUnknown(f.ID, 1, 1, start.Add(10*time.Second)))
	if diff := cmp.Diff([]fee.Claim{{Fee: f, Attempt: 1, Unknowns: 1}}, claim(t, store, 10*time.Second, 1)); diff != "" {
		t.Error(diff)
	}
	settle(t, store, asUnknown(f.ID, 1, 2, start.Add(20*time.Second)))
	if diff := cmp.Diff([]fee.Claim{{Fee: f, Attempt: 1, Unknowns: 2}}, claim(t, store, 20*time.Second, 1)); diff != "" {
		t.Error(diff)
	}
	if events := store.Events(t); len(events) != 0 {
		t.Errorf("events: %+v", events)
	}
}

func waived(t *testing.T, store Store) {
	want := pending("18", 1)[0]
	add(t, store, want)
	claim(t, store, 0, 1)
	settle(t, store, asWaived(want.ID, 1))
	want.Status, want.Reason = fee.Waived, fee.ReasonInactiveAccount
	if got := settle(t, store, asCharged(want.ID, 1)); len(got) != 0 {
		t.Errorf("effective on a waived fee: %+v", got)
	}
	if diff := cmp.Diff(want, load(t, store, want.ID)); diff != "" {
		t.Error(diff)
	}
	if got := claim(t, store, 24*time.Hour, 10); len(got) != 0 {
		t.Errorf("claimed: %+v", got)
	}
	if events := store.Events(t); len(events) != 0 {
		t.Errorf("events: %+v", events)
	}
}

func settlementsStandOneByOne(t *testing.T, store Store) {
	fees := pending("18", 5)
	add(t, store, fees...)
	claim(t, store, 0, 10)
	later := start.Add(time.Hour)
	portion := []fee.Settlement{
		asCharged(fees[0].ID, 1), asRefused(fees[1].ID, 1, later), asUnknown(fees[2].ID, 1, 1, later), asWaived(fees[3].ID, 1),
		asCharged(fees[4].ID, 2), // another attempt than the fee's
		asCharged(newID(), 1),
	}
	if diff := cmp.Diff(portion[:4], settle(t, store, portion...)); diff != "" {
		t.Errorf("effective: %s", diff)
	}
	var got []fee.Status
	for _, f := range fees {
		got = append(got, load(t, store, f.ID).Status)
	}
	if diff := cmp.Diff([]fee.Status{fee.Charged, fee.Pending, fee.Pending, fee.Waived, fee.Pending}, got); diff != "" {
		t.Error(diff)
	}
	if events := store.Events(t); len(events) != 1 || events[0].ID != fees[0].ID {
		t.Errorf("events: %+v", events)
	}
	if effective := settle(t, store); len(effective) != 0 {
		t.Errorf("of nothing: %+v", effective)
	}
}

func concurrentSettlements(t *testing.T, store Store) {
	const collectors, n = 8, 20
	fees := pending("18", n)
	add(t, store, fees...)
	claim(t, store, 0, n)
	var mu sync.Mutex
	effective := 0
	var waiting sync.WaitGroup
	for collector := range collectors {
		settlements := make([]fee.Settlement, n)
		for i, f := range fees {
			settlements[i] = asCharged(f.ID, 1)
			if collector%2 == 1 { // it did not learn the outcome
				settlements[i] = asUnknown(f.ID, 1, 1, start.Add(time.Hour))
			}
		}
		waiting.Go(func() {
			got, err := store.Settle(t.Context(), start, settlements)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, s := range got {
				if s.Status == fee.Charged {
					effective++
				}
			}
		})
	}
	waiting.Wait()
	if effective != n || len(store.Events(t)) != n {
		t.Errorf("%d of %d fees were charged, with %d events", effective, n, len(store.Events(t)))
	}
}

func allOrNothing(t *testing.T, store Store) {
	fees := pending("18", 2)
	add(t, store, fees...)
	claim(t, store, 0, 2)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Settle(gone, start, []fee.Settlement{asCharged(fees[0].ID, 1)}); err == nil {
		t.Error("settled for a caller that is gone")
	}
	if _, err := store.Settle(t.Context(), start, []fee.Settlement{
		asCharged(fees[0].ID, 1), {ID: fees[1].ID, Attempt: 1, Status: "SOMETHING", Next: 1},
	}); err == nil {
		t.Error("the schema accepts an unknown status")
	}
	if _, err := store.Add(gone, pending("18", 1)); err == nil {
		t.Error("added for a caller that is gone")
	}
	for _, f := range fees {
		if diff := cmp.Diff(f, load(t, store, f.ID)); diff != "" {
			t.Error(diff)
		}
	}
	if events := store.Events(t); len(events) != 0 {
		t.Errorf("events: %+v", events)
	}
}

func backlog(t *testing.T, store Store) {
	check := func(want fee.Backlog) {
		t.Helper()
		got, err := store.Backlog(t.Context())
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	check(fee.Backlog{})
	fees := pending("18", 4)
	fees[1].CreatedAt = start.Add(-time.Minute)
	fees[3].CreatedAt = start.Add(-2 * time.Minute)
	add(t, store, fees...)
	check(fee.Backlog{ForCollection: 4, Oldest: fees[3].CreatedAt})
	settle(t, store, asRefused(fees[3].ID, 1, start))
	check(fee.Backlog{ForCollection: 3, ForBalance: 1, Oldest: fees[1].CreatedAt})
	settle(t, store, asCharged(fees[1].ID, 1), asUnknown(fees[2].ID, 1, 1, start))
	check(fee.Backlog{ForCollection: 2, ForBalance: 1, Oldest: start})
	settle(t, store, asWaived(fees[0].ID, 1), asCharged(fees[2].ID, 1))
	check(fee.Backlog{ForBalance: 1})
	unanswered := asUnknown(fees[3].ID, 2, 1, start)
	unanswered.Reason = fee.ReasonInsufficientBalance
	settle(t, store, unanswered)
	check(fee.Backlog{ForCollection: 1, Oldest: fees[3].CreatedAt}) // whether there is balance now, nobody knows
	settle(t, store, asCharged(fees[3].ID, 2))
	check(fee.Backlog{})
}
