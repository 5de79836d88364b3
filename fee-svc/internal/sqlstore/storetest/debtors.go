package storetest

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	for i, minutes := range []int{3, 1, 5, 2, 4} {
		f := pending(strconv.Itoa(10+i), 2)
		addAt(t, store, start.Add(-time.Duration(minutes)*time.Minute), f[0])
		add(t, store, f[1])
	}
	if got, want := numbers(claim(t, store, 0, 2)), []string{"12", "14"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := numbers(claim(t, store, 0, 10)), []string{"10", "11", "13"}; !slices.Equal(got, want) {
		t.Errorf("the rest: got %v, want %v, in their order", got, want)
	}
}

// addAt adds a fee at another time.
func addAt(t *testing.T, store Store, now time.Time, f fee.Fee) {
	t.Helper()
	set(store, now)
	if _, err := store.Add(t.Context(), []fee.Fee{f}); err != nil {
		t.Fatal(err)
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
			debtors, err := store.Claim(t.Context(), time.Minute, each)
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
		fee.Release{AccountNumber: "18"}, fee.Release{AccountNumber: "34", Pause: time.Second},
		fee.Release{AccountNumber: "26", Pause: time.Hour, Waits: true}, fee.Release{AccountNumber: "nobody"})
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
	release(t, store, 0, fee.Release{AccountNumber: "34", Waits: true}) // by the collector that claimed it first
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
	release(t, store, time.Hour, fee.Release{AccountNumber: "26", Pause: 9 * time.Hour, Waits: true})
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
				debtors, err := store.Claim(t.Context(), time.Minute, 10)
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
					releases = append(releases, fee.Release{AccountNumber: d.AccountNumber, Until: d.Until})
				}
				if _, settleErr := store.Settle(t.Context(), settlements, releases); err != nil || settleErr != nil {
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
	addAt(t, store, start.Add(-time.Minute), mine[1])
	addAt(t, store, start.Add(-2*time.Minute), other[0])
	add(t, store, mine[0], mine[2], other[1])
	check(fee.Backlog{ForCollection: 5, Age: 2 * time.Minute})
	claim(t, store, 0, 10)
	release(t, store, 0, fee.Release{AccountNumber: "26", Pause: time.Hour, Waits: true}, fee.Release{AccountNumber: "18"})
	check(fee.Backlog{ForCollection: 3, ForBalance: 2, Age: time.Minute})
	settle(t, store, asCharged(mine[1].ID, 1), asUnknown(mine[2].ID, 1, 1), asRefused(mine[0].ID, 1))
	set(store, start.Add(time.Second))
	check(fee.Backlog{ForCollection: 2, ForBalance: 2, Age: time.Second})
	settle(t, store, asWaived(mine[0].ID, 2), asCharged(mine[2].ID, 1))
	check(fee.Backlog{ForBalance: 2})
	settle(t, store, asCharged(other[0].ID, 1), asCharged(other[1].ID, 1))
	check(fee.Backlog{})
}
