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

	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// Store is the store under test. It also shows the events that it has written.
type Store interface {
	transfer.Store
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
		"leases that end too late are ended":             recalls,
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
			test(t, open(t))
		})
	}
}

// start is a time of whole microseconds, as stores keep them.
var start = time.Date(2026, 11, 22, 12, 0, 0, 123456000, time.UTC)

// newTransfer is pending, with a lease until a minute after start.
func newTransfer(requestID string) transfer.Transfer {
	return transfer.Transfer{
		ID: uuid.Must(uuid.NewV7()).String(), RequestID: requestID, Fingerprint: "fingerprint",
		Origin: transfer.Party{AccountID: "account-a", AccountNumber: "11"}, Destination: "22", Amount: 15000,
		State: transfer.Pending, CreatedAt: start, UpdatedAt: start, LeaseUntil: start.Add(time.Minute),
	}
}

var refusal = transfer.Failure{Type: "INSUFFICIENT_BALANCE", Message: "Saldo insuficiente."}

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

// stepTo moves tr on by the given answers. Each step must take effect. It returns tr as it is afterwards.
func stepTo(t *testing.T, s Store, tr transfer.Transfer, answers ...transfer.Verdict) transfer.Transfer {
	t.Helper()
	for _, verdict := range answers {
		after := transfer.Next(tr, transfer.Answer{Verdict: verdict, Refusal: refusal}, tr.UpdatedAt.Add(time.Second))
		done := commit(t, s, transfer.Changes{Steps: []transfer.Step{{From: tr.State, After: after}}})
		if !done.Stepped[0] {
			t.Fatalf("step from %s to %s did not apply", tr.State, after.State)
		}
		tr = after
	}
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
	first = stepTo(t, s, first, transfer.Done)
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
	for i, path := range [][]transfer.Verdict{
		{transfer.Done},
		{transfer.Done, transfer.Done},
		{transfer.Refused},
		{transfer.Done, transfer.Refused},
		{transfer.Done, transfer.Refused, transfer.Done},
	} {
		tr := newTransfer(fmt.Sprint(i))
		create(t, s, tr)
		wantStored(t, s, stepTo(t, s, tr, path...))
	}
}

func staleStepDoesNothing(t *testing.T, s Store) {
	tr := newTransfer("1")
	create(t, s, tr)
	debited := stepTo(t, s, tr, transfer.Done)
	failed := transfer.Next(tr, transfer.Answer{Verdict: transfer.Refused, Refusal: refusal}, start)
	unknown := newTransfer("2")
	done := commit(t, s, transfer.Changes{Steps: []transfer.Step{
		{From: transfer.Pending, After: failed}, {From: transfer.Pending, After: debited}, {From: transfer.Pending, After: unknown},
	}})
	if diff := cmp.Diff([]bool{false, false, false}, done.Stepped); diff != "" {
		t.Errorf("stepped (-want +got):\n%s", diff)
	}
	wantStored(t, s, debited)
}

func equalStepsApplyOnce(t *testing.T, s Store) {
	tr := newTransfer("1")
	create(t, s, tr)
	debited := stepTo(t, s, tr, transfer.Done)
	completed := transfer.Next(debited, transfer.Answer{Verdict: transfer.Done}, start)
	step := transfer.Step{From: transfer.Debited, After: completed}
	done := commit(t, s, transfer.Changes{Steps: []transfer.Step{step, step}})
	if diff := cmp.Diff([]bool{true, false}, done.Stepped); diff != "" {
		t.Errorf("stepped (-want +got):\n%s", diff)
	}
	if n := len(s.Events(t)); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

func completionWritesEvent(t *testing.T, s Store) {
	tr, refused, refunded := newTransfer("pedido 1"), newTransfer("2"), newTransfer("3")
	create(t, s, tr, refused, refunded)
	stepTo(t, s, refused, transfer.Refused)
	stepTo(t, s, refunded, transfer.Done, transfer.Refused, transfer.Done)
	debited := stepTo(t, s, tr, transfer.Done)
	if events := s.Events(t); len(events) != 0 {
		t.Fatalf("events before any transfer is completed: %v", events)
	}
	stepTo(t, s, debited, transfer.Done)
	want := map[string]string{tr.ID: `{"id":"` + tr.ID + `","request_id":"pedido 1","origin_account_number":"11",` +
		`"destination_account_number":"22","amount":"150.00","completed_at":"2026-11-22T12:00:02.123456Z"}`}
	if diff := cmp.Diff(want, s.Events(t)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func mixedBatch(t *testing.T, s Store) {
	old, resting := newTransfer("1"), newTransfer("2")
	create(t, s, old, resting)
	added := newTransfer("3")
	debited := transfer.Next(old, transfer.Answer{Verdict: transfer.Done}, start)
	commit(t, s, transfer.Changes{
		Creates:  []transfer.Transfer{added},
		Steps:    []transfer.Step{{From: transfer.Pending, After: debited}, {From: transfer.Debited, After: resting}},
		Releases: []transfer.Release{{ID: resting.ID, Claims: 0, Until: start}},
	})
	resting.LeaseUntil = start
	wantStored(t, s, added)
	wantStored(t, s, debited)
	wantStored(t, s, resting)
}

func bigBatches(t *testing.T, s Store) {
	const count = 2500
	transfers := make([]transfer.Transfer, count)
	steps := make([]transfer.Step, count)
	for i := range transfers {
		transfers[i] = newTransfer(fmt.Sprint(i))
		steps[i] = transfer.Step{From: transfer.Pending, After: transfer.Next(transfers[i], transfer.Answer{Verdict: transfer.Done}, start)}
	}
	create(t, s, transfers...)
	for i, stepped := range commit(t, s, transfer.Changes{Steps: steps}).Stepped {
		if !stepped {
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
