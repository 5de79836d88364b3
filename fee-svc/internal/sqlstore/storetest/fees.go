package storetest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
)

func oneFeePerTransfer(t *testing.T, store Store) {
	fees := pending("18", 3)
	again := fees[1]
	again.ID, again.AccountNumber = newID(), "26"
	twice := pending("18", 1)[0]
	twin := twice
	twin.ID = newID()

	if got, want := add(t, store, fees[0], fees[1]), []bool{true, true}; !slices.Equal(got, want) {
		t.Errorf("new: %v", got)
	}
	if got, want := add(t, store, again, fees[2], twice, twin), []bool{false, true, true, false}; !slices.Equal(got, want) {
		t.Errorf("mixed: got %v, want %v", got, want)
	}
	if got := load(t, store, fees[1].ID); got != fees[1] {
		t.Errorf("the first fee has become %+v", got)
	}
	for _, id := range []string{again.ID, twin.ID} {
		if _, err := store.Get(t.Context(), id); !errors.Is(err, fee.ErrNotFound) {
			t.Errorf("second fee of a transfer: %v", err)
		}
	}
}

func concurrentAdds(t *testing.T, store Store) {
	const replicas = 8
	fees := pending("18", 40)
	added := make([][]bool, replicas)
	var waiting sync.WaitGroup
	for replica := range replicas {
		mine := slices.Clone(fees)
		for i := range mine {
			mine[i].ID = newID()
		}
		if replica%2 == 1 {
			slices.Reverse(mine)
		}
		waiting.Go(func() {
			var err error
			if added[replica], err = store.Add(t.Context(), mine); err != nil {
				t.Error(err)
			}
			if replica%2 == 1 {
				slices.Reverse(added[replica])
			}
		})
	}
	waiting.Wait()
	for i := range fees {
		n := 0
		for _, replica := range added {
			if replica[i] {
				n++
			}
		}
		if n != 1 {
			t.Errorf("transfer %d: %d replicas have added its fee", i, n)
		}
	}
}

func largeBatch(t *testing.T, store Store) {
	fees := pending("18", 603)
	if added := add(t, store, fees...); slices.Contains(added, false) || len(added) != len(fees) {
		t.Errorf("not all of %d were added", len(fees))
	}
	if added := add(t, store, fees...); slices.Contains(added, true) {
		t.Error("some were added twice")
	}
	claims := owed(t, store, "18")
	settlements := make([]fee.Settlement, len(claims))
	for i, c := range claims {
		settlements[i] = asCharged(c.ID, c.Attempt)
	}
	if effective := settle(t, store, settlements...); len(effective) != len(fees) {
		t.Errorf("%d of %d were charged", len(effective), len(fees))
	}
}

func get(t *testing.T, store Store) {
	fees := pending("18", 2)
	fees[1].Status, fees[1].Reason, fees[1].Amount = fee.Waived, fee.ReasonDisabled, 0
	add(t, store, fees...)
	for _, want := range fees {
		if diff := cmp.Diff(want, load(t, store, want.ID)); diff != "" {
			t.Error(diff)
		}
	}
	for _, id := range []string{newID(), "", "'", fees[0].TransferID, strings.ToUpper(fees[0].ID)} {
		if _, err := store.Get(t.Context(), id); !errors.Is(err, fee.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func listPages(t *testing.T, store Store) {
	mine, other := pending("18", 7), pending("26", 3)
	for i := range other {
		add(t, store, mine[i], other[i])
	}
	add(t, store, mine[3:]...)
	want := slices.Clone(mine)
	slices.Reverse(want)
	for _, limit := range []int{1, 2, 3, 6, 7, 8} {
		var got []fee.Fee
		for before := ""; ; {
			page, err := store.List(t.Context(), "18", before, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) > limit {
				t.Fatalf("%d fees, limit %d", len(page), limit)
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			before = page[len(page)-1].ID
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("limit %d: %s", limit, diff)
		}
	}
	if page, err := store.List(t.Context(), "34", "", 10); err != nil || len(page) != 0 {
		t.Errorf("an account without fees has %v, %v", page, err)
	}
}
