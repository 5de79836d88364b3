package storetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/fee-svc/feeapi"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
)

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
			got, err := store.Settle(t.Context(), settlements, nil)
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
	if _, err := store.Settle(gone, []fee.Settlement{asCharged(fees[0].ID, 1)}, nil); err == nil {
		t.Error("settled for a caller that is gone")
	}
	if _, err := store.Settle(t.Context(), []fee.Settlement{
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
