package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// claim claims transfers for a minute.
func claim(t *testing.T, s Store, limit int) []transfer.Transfer {
	t.Helper()
	claimed, err := s.Claim(t.Context(), time.Minute, limit)
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	return claimed
}

func ids(transfers []transfer.Transfer) (ids []string) {
	for _, t := range transfers {
		ids = append(ids, t.ID)
	}
	return ids
}

func claimsOverdue(t *testing.T, s Store) {
	leased, newer, older, done := newTransfer("1"), newTransfer("2"), newTransfer("3"), newTransfer("4")
	now := start.Add(time.Hour)
	leased.Lease = time.Hour + time.Microsecond
	newer.Lease = time.Hour
	older.Lease = time.Hour - time.Minute
	create(t, s, leased, newer, older, done)
	older = stepTo(t, s, older, applied, refusal)
	stepTo(t, s, done, refusal)

	set(s, now)
	older.Lease, older.Claims = time.Minute, 1
	newer.Lease, newer.Claims = time.Minute, 1
	if diff := cmp.Diff([]transfer.Transfer{older}, claim(t, s, 1)); diff != "" {
		t.Errorf("first claim (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]transfer.Transfer{newer}, claim(t, s, 10)); diff != "" {
		t.Errorf("second claim (-want +got):\n%s", diff)
	}
	if got := claim(t, s, 10); len(got) != 0 {
		t.Errorf("third claim: %v, want none", got)
	}
	wantStored(t, s, older)
	set(s, now.Add(time.Minute))
	if got := claim(t, s, 10); len(got) != 3 {
		t.Errorf("claimed %d when all leases had ended, want 3", len(got))
	}
}

func claimsNeverShare(t *testing.T, s Store) {
	const count, replicas = 100, 8
	var transfers []transfer.Transfer
	for i := range count {
		transfers = append(transfers, newTransfer(fmt.Sprint(i)))
	}
	create(t, s, transfers...)
	set(s, start.Add(time.Hour))
	var mu sync.Mutex
	seen := map[string]int{}
	var all sync.WaitGroup
	for range replicas {
		all.Go(func() {
			for range count {
				claimed, err := s.Claim(t.Context(), time.Minute, 7)
				if err != nil {
					t.Errorf("Claim: %v", err)
				}
				if len(claimed) == 0 {
					return
				}
				mu.Lock()
				for _, id := range ids(claimed) {
					seen[id]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for id, n := range seen {
		if n != 1 {
			t.Errorf("transfer %s was claimed %d times", id, n)
		}
	}
	if len(seen) != count {
		t.Errorf("%d of %d claimed", len(seen), count)
	}
}

func releaseNeedsClaim(t *testing.T, s Store) {
	tr := newTransfer("1")
	create(t, s, tr)
	set(s, start.Add(tr.Lease))
	claimed := claim(t, s, 1)[0]
	commit(t, s, transfer.Changes{Releases: []transfer.Release{{ID: tr.ID, Claims: 0}}})
	wantStored(t, s, claimed)
	commit(t, s, transfer.Changes{Releases: []transfer.Release{{ID: tr.ID, Claims: 1, Pause: time.Second}}})
	claimed.Lease = time.Second
	wantStored(t, s, claimed)
	commit(t, s, transfer.Changes{Releases: []transfer.Release{{ID: tr.ID, Claims: 1}}})
	claimed.Lease = 0
	wantStored(t, s, claimed)
	if got := claim(t, s, 1); len(got) != 1 {
		t.Errorf("claimed %v, want what was released at once", got)
	}
}

func releaseOfFinal(t *testing.T, s Store) {
	tr := newTransfer("1")
	create(t, s, tr)
	tr = stepTo(t, s, tr, refusal)
	commit(t, s, transfer.Changes{Releases: []transfer.Release{{ID: tr.ID, Claims: 0}}})
	wantStored(t, s, tr)
}

func lists(t *testing.T, s Store) {
	a, b := transfer.Party{AccountID: "account-a", AccountNumber: "11"}, transfer.Party{AccountID: "account-b", AccountNumber: "22"}
	var both []transfer.Transfer // what party a sees
	for i := range 12 {
		sent, received, pending := newTransfer(fmt.Sprint("sent ", i)), newTransfer(fmt.Sprint("received ", i)), newTransfer(fmt.Sprint("pending ", i))
		received.Origin, received.Destination = b, a.AccountNumber
		pending.Origin, pending.Destination = b, a.AccountNumber
		foreign := newTransfer(fmt.Sprint("foreign ", i))
		foreign.Origin, foreign.Destination = transfer.Party{AccountID: "account-c", AccountNumber: "33"}, "44"
		create(t, s, sent, received, pending, foreign)
		received = stepTo(t, s, received, applied, applied)
		switch i % 3 {
		case 1:
			sent = stepTo(t, s, sent, refusal)
		case 2:
			stepTo(t, s, pending, applied)
		}
		both = append(both, sent, received)
	}
	slices.Reverse(both)
	for _, limit := range []int{1, 5, 24, 100} {
		var paged []transfer.Transfer
		for before := uuid.Max.String(); ; before = paged[len(paged)-1].ID {
			page, err := s.List(t.Context(), a, before, limit)
			if err != nil {
				t.Fatalf("List: %v", err)
			}
			if len(page) > limit {
				t.Fatalf("%d items, limit %d", len(page), limit)
			}
			paged = append(paged, page...)
			if len(page) < limit {
				break
			}
		}
		if diff := cmp.Diff(both, paged); diff != "" {
			t.Errorf("limit %d (-want +got):\n%s", limit, diff)
		}
	}
}

func backlog(t *testing.T, s Store) {
	if got, err := s.Backlog(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("backlog of an empty store: %v, %v", got, err)
	}
	paths := [][]accountapi.Outcome{
		{}, {}, {applied}, {applied, refusal}, {applied, applied}, {refusal},
	}
	for i, path := range paths {
		tr := newTransfer(fmt.Sprint(i))
		tr.CreatedAt = start.Add(-time.Duration(i) * time.Second)
		tr.UpdatedAt = tr.CreatedAt
		set(s, tr.CreatedAt)
		create(t, s, tr)
		stepTo(t, s, tr, path...)
	}
	set(s, start)
	want := map[transfer.State]transfer.Backlog{
		transfer.Pending:   {Count: 2, Age: time.Second},
		transfer.Debited:   {Count: 1, Age: 2 * time.Second},
		transfer.Refunding: {Count: 1, Age: 3 * time.Second},
	}
	got, err := s.Backlog(t.Context())
	if err != nil {
		t.Fatalf("Backlog: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("backlog (-want +got):\n%s", diff)
	}
}
