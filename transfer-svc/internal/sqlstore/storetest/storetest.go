// Package storetest is the conformance suite that every transfer.Store passes.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// Store is the store under test, whose clock the suite sets. It also shows the events that it has written.
type Store interface {
	transfer.Store
	SetClock(clock func() time.Time)
	// Events returns the payloads in the outbox by event id.
	Events(t *testing.T) map[string]string
}

// Run runs the suite. Each call of open returns an empty store.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"a created transfer is read back whole":     createReadsBack,
		"the first transfer of a key stays":         firstOfKeyStays,
		"concurrent creates of a key agree":         concurrentCreatesAgree,
		"a key belongs to its account":              keysAreScoped,
		"steps move and are read back whole":        stepsReadBack,
		"a step from another state has no effect":   staleStepDoesNothing,
		"of equal steps in one batch one counts":    equalStepsApplyOnce,
		"completion writes one event":               completionWritesEvent,
		"a batch mixes creates, steps and releases": mixedBatch,
		"big batches": bigBatches,
		"claims take what is overdue, oldest first":      claimsOverdue,
		"times never go backwards":                       timesInOrder,
		"concurrent claims never share":                  claimsNeverShare,
		"a release needs the claim it was taken with":    releaseNeedsClaim,
		"a final transfer has no lease to release":       releaseOfFinal,
		"lists hold sent and received, newest first":     lists,
		"the backlog counts what is unfinished by state": backlog,
		"an unknown id is not found":                     unknownID,
		"a cancelled context changes nothing":            cancelled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			set(s, start)
			test(t, s)
		})
	}
}

// start is what the clock of a store shows when a test begins. It is not the time of the process that runs the test. So the
// suite fails if a store takes any time from there.
var start = time.Date(2026, 11, 22, 12, 0, 0, 123456000, time.UTC)

// set lets the store's clock stand still at now.
func set(s Store, now time.Time) { s.SetClock(func() time.Time { return now }) }

// newTransfer is pending, as the store returns it if it is created at start, with a lease of a minute.
func newTransfer(requestID string) transfer.Transfer {
	return transfer.Transfer{
		ID: uuid.Must(uuid.NewV7()).String(), RequestID: requestID, Fingerprint: "fingerprint",
		Origin: transfer.Party{AccountID: "account-a", AccountNumber: "11"}, Destination: "22", Amount: 15000,
		State: transfer.Pending, CreatedAt: start, UpdatedAt: start, Lease: time.Minute,
	}
}

// The ledger's answers to a leg.
var applied, refusal = accountapi.Outcome{}, accountapi.Outcome{Refusal: accountapi.InsufficientBalance}

// Answers to a debit and the credit that travels with it: both applied, and the credit refused.
var both, creditRefused = accountapi.Outcome{Then: &applied}, accountapi.Outcome{Then: &refusal}

func commit(t *testing.T, s Store, changes transfer.Changes) transfer.Committed {
	t.Helper()
	done, err := s.Commit(t.Context(), changes)
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	if len(done.Created) != len(changes.Creates) || len(done.Stepped) != len(changes.Steps) {
		t.Fatalf("%d transfers and %d steps answered, want %d and %d",
			len(done.Created), len(done.Stepped), len(changes.Creates), len(changes.Steps))
	}
	return done
}

func create(t *testing.T, s Store, transfers ...transfer.Transfer) {
	t.Helper()
	done := commit(t, s, transfer.Changes{Creates: transfers})
	if diff := cmp.Diff(transfers, done.Created); diff != "" {
		t.Fatalf("created (-want +got):\n%s", diff)
	}
}

// stepTo moves tr on by the given answers, a second after each other. Each step must take effect. stepTo sets the clock to
// start afterwards, and returns tr as it is then.
func stepTo(t *testing.T, s Store, tr transfer.Transfer, answers ...accountapi.Outcome) transfer.Transfer {
	t.Helper()
	for _, answer := range answers {
		step := transfer.Step{From: tr.State, After: transfer.Next(tr, answer)}
		now := tr.UpdatedAt.Add(time.Second)
		set(s, now)
		done := commit(t, s, transfer.Changes{Steps: []transfer.Step{step}})
		if !done.Stepped[0].Equal(now) {
			t.Fatalf("step from %s to %s took effect at %s, want %s", tr.State, step.After.State, done.Stepped[0], now)
		}
		tr = step.At(now)
	}
	set(s, start)
	return tr
}

func wantStored(t *testing.T, s Store, want transfer.Transfer) {
	t.Helper()
	got, err := s.Transfer(t.Context(), want.ID)
	if err != nil {
		t.Fatalf("Transfer: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

func createReadsBack(t *testing.T, s Store) {
	tr := newTransfer("pedido || nº 1/2 é 'único'; --")
	create(t, s, tr)
	wantStored(t, s, tr)
}

func firstOfKeyStays(t *testing.T, s Store) {
	first, second, other := newTransfer("1"), newTransfer("1"), newTransfer("2")
	second.Fingerprint, second.Amount = "another", 1
	create(t, s, first)
	first = stepTo(t, s, first, applied)
	done := commit(t, s, transfer.Changes{Creates: []transfer.Transfer{second, other, second}})
	if diff := cmp.Diff([]transfer.Transfer{first, other, first}, done.Created); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	if _, err := s.Transfer(t.Context(), second.ID); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("the second transfer of the key: %v, want ErrNotFound", err)
	}
}

func concurrentCreatesAgree(t *testing.T, s Store) {
	const callers = 20
	ids := make(chan string, 2*callers)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			done, err := s.Commit(t.Context(), transfer.Changes{Creates: []transfer.Transfer{newTransfer("1"), newTransfer("1")}})
			if err != nil {
				t.Errorf("Commit: %v", err)
				return
			}
			ids <- done.Created[0].ID
			ids <- done.Created[1].ID
		})
	}
	all.Wait()
	close(ids)
	first := <-ids
	for id := range ids {
		if id != first {
			t.Fatalf("two transfers for one key: %s and %s", first, id)
		}
	}
}

func keysAreScoped(t *testing.T, s Store) {
	mine, theirs := newTransfer("1"), newTransfer("1")
	theirs.Origin = transfer.Party{AccountID: "account-c", AccountNumber: "33"}
	create(t, s, mine, theirs)
	wantStored(t, s, mine)
	wantStored(t, s, theirs)
}

func stepsReadBack(t *testing.T, s Store) {
	for i, path := range [][]accountapi.Outcome{
		{both},
		{creditRefused},
		{creditRefused, applied},
		{applied},
		{applied, applied},
		{refusal},
		{applied, refusal},
		{applied, refusal, applied},
	} {
		tr := newTransfer(fmt.Sprint(i))
		create(t, s, tr)
		wantStored(t, s, stepTo(t, s, tr, path...))
	}
}

func staleStepDoesNothing(t *testing.T, s Store) {
	tr := newTransfer("1")
	create(t, s, tr)
	debited := stepTo(t, s, tr, applied)
	failed := transfer.Next(tr, refusal)
	unknown := newTransfer("2")
	done := commit(t, s, transfer.Changes{Steps: []transfer.Step{
		{From: transfer.Pending, After: failed}, {From: transfer.Pending, After: debited}, {From: transfer.Pending, After: unknown},
	}})
	if diff := cmp.Diff(make([]time.Time, 3), done.Stepped); diff != "" {
		t.Errorf("stepped (-want +got):\n%s", diff)
	}
	wantStored(t, s, debited)
}

func equalStepsApplyOnce(t *testing.T, s Store) {
	later := start.Add(time.Minute)
	tr := newTransfer("1")
	create(t, s, tr)
	debited := stepTo(t, s, tr, applied)
	completed := transfer.Next(debited, applied)
	step := transfer.Step{From: transfer.Debited, After: completed}
	set(s, later)
	done := commit(t, s, transfer.Changes{Steps: []transfer.Step{step, step}})
	if diff := cmp.Diff([]time.Time{later, {}}, done.Stepped); diff != "" {
		t.Errorf("stepped (-want +got):\n%s", diff)
	}
	if n := len(s.Events(t)); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

// The clock of the database has gone back by an hour, perhaps because it is another server's.
func timesInOrder(t *testing.T, s Store) {
	tr := newTransfer("1")
	create(t, s, tr)
	set(s, start.Add(-time.Hour))
	for range 2 {
		step := transfer.Step{From: tr.State, After: transfer.Next(tr, applied)}
		if done := commit(t, s, transfer.Changes{Steps: []transfer.Step{step}}); !done.Stepped[0].Equal(start) {
			t.Errorf("the step to %s is at %s, want %s, as the transfer was created", step.After.State, done.Stepped[0], start)
		}
		tr = step.At(start)
	}
	wantStored(t, s, tr)
}

func completionWritesEvent(t *testing.T, s Store) {
	tr, refused, refunded, refundedAtOnce := newTransfer("pedido 1"), newTransfer("2"), newTransfer("3"), newTransfer("4")
	create(t, s, tr, refused, refunded, refundedAtOnce)
	stepTo(t, s, refused, refusal)
	stepTo(t, s, refunded, applied, refusal, applied)
	stepTo(t, s, refundedAtOnce, creditRefused, applied)
	debited := stepTo(t, s, tr, applied)
	if events := s.Events(t); len(events) != 0 {
		t.Fatalf("events before any transfer is completed: %v", events)
	}
	stepTo(t, s, debited, applied)
	atOnce := newTransfer("pedido 5")
	create(t, s, atOnce)
	stepTo(t, s, atOnce, both)
	event := func(tr transfer.Transfer, completed string) string {
		return `{"id":"` + tr.ID + `","request_id":"` + tr.RequestID + `","origin_account_number":"11",` +
			`"destination_account_number":"22","amount":"150.00","completed_at":"` + completed + `"}`
	}
	want := map[string]string{
		tr.ID: event(tr, "2026-11-22T12:00:02.123456Z"), atOnce.ID: event(atOnce, "2026-11-22T12:00:01.123456Z"),
	}
	if diff := cmp.Diff(want, s.Events(t)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func mixedBatch(t *testing.T, s Store) {
	old, released := newTransfer("1"), newTransfer("2")
	create(t, s, old, released)
	added := newTransfer("3")
	debited := transfer.Next(old, applied)
	commit(t, s, transfer.Changes{
		Creates:  []transfer.Transfer{added},
		Steps:    []transfer.Step{{From: transfer.Pending, After: debited}, {From: transfer.Debited, After: released}},
		Releases: []transfer.Release{{ID: released.ID, Claims: 0}},
	})
	released.Lease = 0
	wantStored(t, s, added)
	wantStored(t, s, debited)
	wantStored(t, s, released)
}

func bigBatches(t *testing.T, s Store) {
	const count = 2500
	transfers := make([]transfer.Transfer, count)
	steps := make([]transfer.Step, count)
	for i := range transfers {
		transfers[i] = newTransfer(fmt.Sprint(i))
		steps[i] = transfer.Step{From: transfer.Pending, After: transfer.Next(transfers[i], applied)}
	}
	create(t, s, transfers...)
	for i, stepped := range commit(t, s, transfer.Changes{Steps: steps}).Stepped {
		if stepped.IsZero() {
			t.Fatalf("step %d did not apply", i)
		}
	}
	got, err := s.Backlog(t.Context())
	if err != nil || got[transfer.Debited].Count != count {
		t.Errorf("backlog %v, %v; want %d debited", got, err, count)
	}
}

func unknownID(t *testing.T, s Store) {
	for _, id := range []string{"", "x", uuid.NewString()} {
		if _, err := s.Transfer(t.Context(), id); !errors.Is(err, transfer.ErrNotFound) {
			t.Errorf("Transfer(%q): %v, want ErrNotFound", id, err)
		}
	}
}

func cancelled(t *testing.T, s Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tr := newTransfer("1")
	if _, err := s.Commit(ctx, transfer.Changes{Creates: []transfer.Transfer{tr}}); err == nil {
		t.Error("Commit with a cancelled context: no error")
	}
	if _, err := s.Transfer(t.Context(), tr.ID); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("Transfer: %v, want ErrNotFound", err)
	}
}
