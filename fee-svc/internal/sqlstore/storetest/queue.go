package storetest

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/fee-svc/feeapi"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
)

func claimsAreDueAndEnd(t *testing.T, store Store) {
	fees := append(pending("18", 2), pending("26", 1)...)
	fees[2].Status, fees[2].Reason = fee.Waived, fee.ReasonDisabled
	add(t, store, fees...)
	want := []fee.Debtor{{AccountNumber: "18"}}
	for _, step := range []struct {
		after time.Duration
		want  []fee.Debtor
	}{
		{-time.Microsecond, nil},
		{0, want},
		{time.Minute - time.Microsecond, nil},
		{time.Minute, want}, // the claim has ended
		{90 * time.Second, nil},
	} {
		if diff := cmp.Diff(step.want, claim(t, store, step.after, 10)); diff != "" {
			t.Errorf("after %s: %s", step.after, diff)
		}
	}
}

func claimsTakeTheLongestDue(t *testing.T, store Store) {
	var fees []fee.Fee
	for i, minutes := range []int{3, 1, 5, 2, 4} {
		f := pending(strconv.Itoa(10+i), 2)
		f[0].CreatedAt = start.Add(-time.Duration(minutes) * time.Minute)
		fees = append(fees, f...)
	}
	add(t, store, fees...)
	if got, want := numbers(claim(t, store, 0, 2)), []string{"12", "14"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := numbers(claim(t, store, 0, 10)), []string{"10", "11", "13"}; !slices.Equal(got, want) {
		t.Errorf("the rest: got %v, want %v, in their order", got, want)
	}
}

func numbers(debtors []fee.Debtor) []string {
	var numbers []string
	for _, d := range debtors {
		numbers = append(numbers, d.AccountNumber)
	}
	return numbers
}

func concurrentClaims(t *testing.T, store Store) {
	const collectors, each = 8, 10
	var fees []fee.Fee
	for i := range collectors * each {
		fees = append(fees, pending(strconv.Itoa(100+i), 2)...)
	}
	add(t, store, fees...)
	var mu sync.Mutex
	seen := map[string]int{}
	var waiting sync.WaitGroup
	for range collectors {
		waiting.Go(func() {
			debtors, err := store.Claim(t.Context(), start, start.Add(time.Minute), each)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, d := range debtors {
				seen[d.AccountNumber]++
			}
		})
	}
	waiting.Wait()
	for number, n := range seen {
		if n != 1 {
			t.Errorf("account %s was claimed %d times", number, n)
		}
	}
	if rest := claim(t, store, 0, 1000); len(seen)+len(rest) != collectors*each {
		t.Errorf("%d claimed at once, %d afterwards, of %d", len(seen), len(rest), collectors*each)
	}
}

func owedOldestFirst(t *testing.T, store Store) {
	mine, other, foreign := pending("18", 5), pending("26", 2), pending("34", 1)
	add(t, store, foreign[0], mine[4], other[1], mine[2], mine[0], other[0], mine[3], mine[1])
	settle(t, store, asCharged(mine[0].ID, 1), asUnknown(mine[1].ID, 1, 3), asWaived(mine[2].ID, 1), asRefused(mine[3].ID, 1))
	mine[3].Reason = fee.ReasonInsufficientBalance
	all := []fee.Claim{
		{Fee: mine[1], Attempt: 1, Unknowns: 3}, {Fee: mine[3], Attempt: 2}, {Fee: mine[4], Attempt: 1},
		{Fee: other[0], Attempt: 1}, {Fee: other[1], Attempt: 1},
	}
	for each, want := range map[int][]fee.Claim{1: {all[0], all[3]}, 2: {all[0], all[1], all[3], all[4]}, 3: all, 100: all} {
		got, err := store.Owed(t.Context(), []string{"26", "nobody", "18"}, each)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%d of each: %v\n%s", each, err, diff)
		}
	}
	if got := owed(t, store); len(got) != 0 {
		t.Errorf("of nobody: %+v", got)
	}
}

// A release sets when the debtor is due again, or deletes a debtor that owes nothing. After another collector's claim, the
// release of the first collector does not set anything.
func releases(t *testing.T, store Store) {
	paid, waits, more := pending("18", 1), pending("26", 1), pending("34", 1)
	add(t, store, paid[0], waits[0], more[0])
	if got := claim(t, store, 0, 10); len(got) != 3 {
		t.Fatalf("claimed %+v", got)
	}
	settle(t, store, asCharged(paid[0].ID, 1))
	release(t, store, 0,
		fee.Release{AccountNumber: "18", DueAt: start}, fee.Release{AccountNumber: "34", DueAt: start.Add(time.Second)},
		fee.Release{AccountNumber: "26", DueAt: start.Add(time.Hour), Waits: true}, fee.Release{AccountNumber: "nobody", DueAt: start})
	if got, want := load(t, store, waits[0].ID).Reason, fee.ReasonInsufficientBalance; got != want {
		t.Errorf("the fee of a debtor that waits has reason %q", got)
	}
	if got := load(t, store, more[0].ID).Reason; got != fee.ReasonNone {
		t.Errorf("the fee of a debtor that does not wait has reason %q", got)
	}
	if got := claim(t, store, time.Second-time.Microsecond, 10); len(got) != 0 {
		t.Errorf("claimed too early: %+v", got)
	}
	if got, want := numbers(claim(t, store, time.Second, 10)), []string{"34"}; !slices.Equal(got, want) {
		t.Errorf("claimed %v", got)
	}
	release(t, store, 0, fee.Release{AccountNumber: "34", DueAt: start, Waits: true}) // by the collector that claimed it first
	if got := claim(t, store, 2*time.Second, 10); len(got) != 0 {
		t.Errorf("claimed from another collector: %+v", got)
	}
	want := []fee.Debtor{{AccountNumber: "26", Waits: true}, {AccountNumber: "34"}}
	if diff := cmp.Diff(want, claim(t, store, time.Hour, 10)); diff != "" {
		t.Error(diff)
	}
	// A new fee makes its debtor due at once, but does not end a collector's claim.
	more2, again := pending("34", 1), pending("18", 1)
	add(t, store, more2[0], again[0])
	if got, want := numbers(claim(t, store, time.Hour, 10)), []string{"18"}; !slices.Equal(got, want) {
		t.Errorf("claimed %v", got)
	}
	release(t, store, time.Hour, fee.Release{AccountNumber: "26", DueAt: start.Add(9 * time.Hour), Waits: true})
	add(t, store, pending("26", 1)...)
	if diff := cmp.Diff([]fee.Debtor{{AccountNumber: "26", Waits: true}}, claim(t, store, time.Hour, 10)); diff != "" {
		t.Error(diff)
	}
}

// If fees are added while debtors are released, each account that owes a fee is a debtor afterwards.
func addsBesideReleases(t *testing.T, store Store) {
	const rounds = 60
	var waiting sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		waiting.Go(func() {
			for last := false; ; {
				debtors, err := store.Claim(t.Context(), start, start.Add(time.Minute), 10)
				if err != nil {
					t.Error(err)
					return
				}
				if last && len(debtors) == 0 {
					return
				}
				var settlements []fee.Settlement
				var releases []fee.Release
				claims, err := store.Owed(t.Context(), numbers(debtors), 1)
				for _, c := range claims {
					settlements = append(settlements, asCharged(c.ID, c.Attempt))
				}
				for _, d := range debtors {
					releases = append(releases, fee.Release{AccountNumber: d.AccountNumber, Until: start.Add(time.Minute), DueAt: start})
				}
				if _, settleErr := store.Settle(t.Context(), start, settlements, releases); err != nil || settleErr != nil {
					t.Error(err, settleErr)
					return
				}
				select {
				case <-done:
					last = true
				default:
				}
			}
		})
	}
	var adding sync.WaitGroup
	for range 2 {
		adding.Go(func() {
			for range rounds {
				if _, err := store.Add(t.Context(), append(pending("18", 1), pending("26", 1)...)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	adding.Wait()
	close(done)
	waiting.Wait()
	if left := owed(t, store, "18", "26"); len(left) != 0 {
		t.Errorf("%d fees are left, and their accounts are no debtors", len(left))
	}
	if got := len(store.Events(t)); got != 4*rounds {
		t.Errorf("%d of %d were charged", got, 4*rounds)
	}
}

func recall(t *testing.T, store Store) {
	var fees []fee.Fee
	for i := range 6 {
		fees = append(fees, pending(strconv.Itoa(10+i), 1)...)
	}
	add(t, store, fees...)
	latest := start.Add(time.Hour)
	late := latest.Add(time.Microsecond)
	claim(t, store, 0, 5) // all but the last
	if got, err := store.Claim(t.Context(), start, late, 10); err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	release(t, store, 0,
		fee.Release{AccountNumber: "10", DueAt: latest}, fee.Release{AccountNumber: "11", DueAt: late},
		fee.Release{AccountNumber: "12", DueAt: late, Waits: true}, fee.Release{AccountNumber: "13", DueAt: start.Add(87600 * time.Hour)})
	now := start.Add(time.Second) // 14 is claimed
	for i, want := range []int{2, 2, 0} {
		if got, err := store.Recall(t.Context(), now, latest, 2); err != nil || got != want {
			t.Errorf("recall %d: got %d, %v; want %d", i, got, err, want)
		}
	}
	want := []fee.Debtor{{AccountNumber: "11"}, {AccountNumber: "12", Waits: true}, {AccountNumber: "13"}, {AccountNumber: "15"}}
	if got := claim(t, store, time.Second-time.Microsecond, 10); len(got) != 1 || got[0].AccountNumber != "15" {
		t.Errorf("claimed too early, or not at all: %+v", got)
	}
	release(t, store, time.Second-time.Microsecond, fee.Release{AccountNumber: "15", DueAt: start})
	if diff := cmp.Diff(want, claim(t, store, time.Second, 10)); diff != "" {
		t.Error(diff)
	}
}

func charged(t *testing.T, store Store) {
	want := pending("18", 1)[0]
	add(t, store, want)
	if got := settle(t, store, asCharged(want.ID, 1)); len(got) != 1 {
		t.Fatalf("effective: %+v", got)
	}
	want.Status, want.ChargedAt = fee.Charged, start.Add(time.Second)
	if diff := cmp.Diff(want, load(t, store, want.ID)); diff != "" {
		t.Error(diff)
	}
	// Charged is final: no settlement changes it, and the fee has one event.
	for _, again := range []fee.Settlement{
		asCharged(want.ID, 1), asRefused(want.ID, 1), asUnknown(want.ID, 1, 1), asWaived(want.ID, 1),
	} {
		if got := settle(t, store, again); len(got) != 0 {
			t.Errorf("effective on a charged fee: %+v", got)
		}
	}
	if got := owed(t, store, "18"); len(got) != 0 {
		t.Errorf("owed: %+v", got)
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
	settle(t, store, asUnknown(f.ID, 1, 1))
	if got := settle(t, store, asRefused(f.ID, 1)); len(got) != 1 {
		t.Fatalf("effective: %+v", got)
	}
	f.Reason = fee.ReasonInsufficientBalance
	if diff := cmp.Diff([]fee.Claim{{Fee: f, Attempt: 2}}, owed(t, store, "18")); diff != "" {
		t.Errorf("the next attempt: %s", diff)
	}
	// A late settlement of an attempt that has been settled already changes nothing.
	for _, late := range []fee.Settlement{
		asRefused(f.ID, 1), asUnknown(f.ID, 1, 9), asWaived(f.ID, 1), asRefused(f.ID, 3),
	} {
		if got := settle(t, store, late); len(got) != 0 {
			t.Errorf("effective: %+v", got)
		}
	}
	if diff := cmp.Diff([]fee.Claim{{Fee: f, Attempt: 2}}, owed(t, store, "18")); diff != "" {
		t.Error(diff)
	}
	if events := store.Events(t); len(events) != 0 {
		t.Errorf("events: %+v", events)
	}
}

func unknown(t *testing.T, store Store) {
	f := pending("18", 1)[0]
	add(t, store, f)
	for unknowns := range 3 {
		if diff := cmp.Diff([]fee.Claim{{Fee: f, Attempt: 1, Unknowns: unknowns}}, owed(t, store, "18")); diff != "" {
			t.Error(diff)
		}
		settle(t, store, asUnknown(f.ID, 1, unknowns+1))
	}
	if events := store.Events(t); len(events) != 0 {
		t.Errorf("events: %+v", events)
	}
}

func waived(t *testing.T, store Store) {
	want := pending("18", 1)[0]
	add(t, store, want)
	settle(t, store, asWaived(want.ID, 1))
	want.Status, want.Reason = fee.Waived, fee.ReasonInactiveAccount
	if got := settle(t, store, asCharged(want.ID, 1)); len(got) != 0 {
		t.Errorf("effective on a waived fee: %+v", got)
	}
	if diff := cmp.Diff(want, load(t, store, want.ID)); diff != "" {
		t.Error(diff)
	}
	if got := owed(t, store, "18"); len(got) != 0 {
		t.Errorf("owed: %+v", got)
	}
	if events := store.Events(t); len(events) != 0 {
		t.Errorf("events: %+v", events)
	}
}

func settlementsStandOneByOne(t *testing.T, store Store) {
	fees := pending("18", 5)
	add(t, store, fees...)
	portion := []fee.Settlement{
		asCharged(fees[0].ID, 1), asRefused(fees[1].ID, 1), asUnknown(fees[2].ID, 1, 1), asWaived(fees[3].ID, 1),
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
	var mu sync.Mutex
	effective := 0
	var waiting sync.WaitGroup
	for collector := range collectors {
		settlements := make([]fee.Settlement, n)
		for i, f := range fees {
			settlements[i] = asCharged(f.ID, 1)
			if collector%2 == 1 { // it did not learn the outcome
				settlements[i] = asUnknown(f.ID, 1, 1)
			}
		}
		waiting.Go(func() {
			got, err := store.Settle(t.Context(), start, settlements, nil)
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
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Settle(gone, start, []fee.Settlement{asCharged(fees[0].ID, 1)}, nil); err == nil {
		t.Error("settled for a caller that is gone")
	}
	if _, err := store.Settle(t.Context(), start, []fee.Settlement{
		asCharged(fees[0].ID, 1), {ID: fees[1].ID, Attempt: 1, Status: "SOMETHING", Next: 1},
	}, nil); err == nil {
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
	mine, other := pending("18", 3), pending("26", 2)
	mine[1].CreatedAt = start.Add(-time.Minute)
	other[0].CreatedAt = start.Add(-2 * time.Minute)
	add(t, store, append(mine, other...)...)
	check(fee.Backlog{ForCollection: 5, Oldest: other[0].CreatedAt})
	claim(t, store, 0, 10)
	release(t, store, 0, fee.Release{AccountNumber: "26", DueAt: start.Add(time.Hour), Waits: true}, fee.Release{AccountNumber: "18", DueAt: start})
	check(fee.Backlog{ForCollection: 3, ForBalance: 2, Oldest: mine[1].CreatedAt})
	settle(t, store, asCharged(mine[1].ID, 1), asUnknown(mine[2].ID, 1, 1), asRefused(mine[0].ID, 1))
	check(fee.Backlog{ForCollection: 2, ForBalance: 2, Oldest: start})
	settle(t, store, asWaived(mine[0].ID, 2), asCharged(mine[2].ID, 1))
	check(fee.Backlog{ForBalance: 2})
	settle(t, store, asCharged(other[0].ID, 1), asCharged(other[1].ID, 1))
	check(fee.Backlog{})
}
