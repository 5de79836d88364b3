package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/schedtest"
	"github.com/bankmore/bankmore/platform/worker"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer/ledgertest"
)

// key is the UNIQUE key of a transfer.
type key struct{ accountID, requestID string }

// world is the environment of one schedule (replicas, database, ledger, clients) and the model's own records, by which check
// judges them.
type world struct {
	*schedtest.Schedule
	db       *database
	ledger   *ledgertest.Ledger
	replicas []*replica
	ahead    time.Duration // how far the second replica's clock is ahead
	born     int
	running  []*client
	wrong    string          // the first rule that was broken
	seen     map[string]bool // corners that this schedule has reached
	story    string          // the moves so far

	closed map[string]bool                  // accounts
	cash   money.Cents                      // the money of all customers, in accounts or in transit
	moved  map[string][]accountapi.Movement // the movements that the ledger has applied, by transfer
	sent   []accountapi.Movement            // the movements that have reached the ledger
	told   map[key]transfer.Transfer        // final answers that clients have had
	first  map[key]bool                     // whether a client has had the answer to a first command
	early  map[string]bool                  // transfers that a replica claimed before their lease had ended

	mu   sync.Mutex
	legs []sending // not yet checked
}

// sending is a leg as its driver sends it.
type sending struct {
	driver   *replica
	movement accountapi.Movement
	at       time.Time
}

func newWorld(ahead time.Duration) *world {
	w := &world{
		Schedule: schedtest.New(), cash: 120000, ahead: ahead,
		ledger: ledgertest.New(map[string]ledgertest.Account{"11": {Balance: 100000}, "22": {Balance: 20000}, "33": {Inactive: true}}),
		moved:  map[string][]accountapi.Movement{}, told: map[key]transfer.Transfer{}, first: map[key]bool{}, seen: map[string]bool{}, closed: map[string]bool{},
		early: map[string]bool{},
	}
	w.db = newDatabase(w.stepped)
	w.replicas = []*replica{w.start(0), w.start(w.ahead)}
	return w
}

// replica is one process of transfer-svc. Its database and its ledger are the world's.
type replica struct {
	*schedtest.Process
	world      *world
	service    *transfer.Service
	ahead      time.Duration       // of its clock
	leases     map[lease]time.Time // when each lease that it was given ends
	recovering atomic.Bool
}

// lease names the lease that the creation of a transfer or one claim has given.
type lease struct {
	transferID string
	claims     int
}

func (w *world) start(ahead time.Duration) *replica {
	w.born++
	r := &replica{Process: w.Process(fmt.Sprint("replica ", w.born)), world: w, ahead: ahead, leases: map[lease]time.Time{}}
	r.service = transfer.New(r, r, config, transfer.Bells{Completed: worker.NewBell(), Overdue: worker.NewBell()})
	transfer.RunAhead(r.service, ahead)
	return r
}

// asked is schedtest.Ask with the errors of a store.
func asked[T any](ctx context.Context, r *replica, name string, effect func() (T, error)) (T, error) {
	out, err := schedtest.Ask(ctx, r.Process, name, effect)
	if err != nil && !errors.Is(err, transfer.ErrNotFound) {
		err = fault.Away(err)
	}
	return out, err
}

// Commit implements transfer.Store.
func (r *replica) Commit(ctx context.Context, changes transfer.Changes) (transfer.Committed, error) {
	var words []string
	for _, t := range changes.Creates {
		words = append(words, fmt.Sprintf("create %s's transfer %s of %s", t.Origin.AccountID, t.RequestID, t.Amount))
	}
	for _, s := range changes.Steps {
		words = append(words, fmt.Sprintf("%s from %s to %s", r.world.NameOf(s.After.ID), s.From, s.After.State))
	}
	for _, release := range changes.Releases {
		words = append(words, fmt.Sprintf("release %s", r.world.NameOf(release.ID)))
	}
	slices.Sort(words)
	r.checkReleases(changes.Releases)
	return asked(ctx, r, "commit ["+strings.Join(words, "; ")+"]", func() (transfer.Committed, error) {
		r.world.sees("two steps at once", len(changes.Steps) > 1)
		r.world.sees("a commit that arrives late", ctx.Err() != nil)
		for _, release := range changes.Releases {
			t := r.world.db.byID[release.ID]
			r.world.sees("a release after another's claim", t != nil && !t.State.Final() && t.Claims != release.Claims)
		}
		done, err := r.world.db.Commit(context.Background(), changes)
		for i, t := range changes.Creates {
			if done.Created[i].ID == t.ID {
				r.leased(t)
			}
		}
		r.world.sees("a step after another driver's", slices.Contains(done.Stepped, false))
		return done, err
	})
}

// Recall implements transfer.Store.
func (r *replica) Recall(ctx context.Context, now, latest time.Time, limit int) (int, error) {
	return asked(ctx, r, "recall", func() (int, error) {
		w := r.world
		for _, t := range w.db.rows {
			if !t.State.Final() && t.LeaseUntil.After(latest) {
				w.early[t.ID] = true
				w.sees("a lease that lasts too long", true)
			}
		}
		return w.db.Recall(context.Background(), now, latest, limit)
	})
}

// Claim implements transfer.Store.
func (r *replica) Claim(ctx context.Context, now, until time.Time, limit int) ([]transfer.Transfer, error) {
	return asked(ctx, r, "claim", func() ([]transfer.Transfer, error) {
		before := map[string]time.Time{}
		for _, t := range r.world.db.rows {
			before[t.ID] = t.LeaseUntil
		}
		claimed, err := r.world.db.Claim(context.Background(), now, until, limit)
		for _, t := range claimed {
			r.world.Tell("    %s is leased", r.world.NameOf(t.ID))
			r.world.sees("a lease taken over", t.Claims > 1)
			r.claims(t, before[t.ID], ctx.Err() != nil)
			r.leased(t)
		}
		return claimed, err
	})
}

// Transfer implements transfer.Store.
func (r *replica) Transfer(ctx context.Context, id string) (transfer.Transfer, error) {
	return asked(ctx, r, "read "+r.world.NameOf(id), func() (transfer.Transfer, error) {
		return r.world.db.Transfer(context.Background(), id)
	})
}

// List implements transfer.Store.
func (r *replica) List(ctx context.Context, p transfer.Party, before string, limit int) ([]transfer.Transfer, error) {
	return r.world.db.List(ctx, p, before, limit)
}

// Backlog implements transfer.Store. It changes nothing, so it is always answered at once.
func (r *replica) Backlog(ctx context.Context) (map[transfer.State]transfer.Backlog, error) {
	return r.world.db.Backlog(ctx)
}

// Move implements transfer.Ledger.
func (r *replica) Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error) {
	if ctx.Err() == nil {
		r.world.mu.Lock()
		r.world.legs = append(r.world.legs, sending{r, m, time.Now()})
		r.world.mu.Unlock()
	}
	return schedtest.Ask(ctx, r.Process, r.world.leg(m), func() (accountapi.Outcome, error) {
		outcome := r.world.apply(m)
		r.world.sees("a leg that arrives late and decides", ctx.Err() != nil && !outcome.Replayed)
		return outcome, nil
	})
}

func (w *world) leg(m accountapi.Movement) string {
	return fmt.Sprintf("%s of %s %s account %s", w.NameOf(m.TransferID), m.Amount,
		map[string]string{accountapi.Debit: "from", accountapi.Credit: "to"}[m.Type], m.AccountNumber)
}

// apply is the ledger's part of a leg.
func (w *world) apply(m accountapi.Movement) accountapi.Outcome {
	i := slices.IndexFunc(w.sent, func(other accountapi.Movement) bool { return other.RequestID == m.RequestID })
	if i >= 0 && w.sent[i] != m {
		w.breaks("key %s is used for another movement", m.RequestID)
		return accountapi.Outcome{}
	}
	outcome, err := w.ledger.Move(context.Background(), m)
	w.sees("a leg decided before", outcome.Replayed)
	switch {
	case err != nil:
		w.breaks("the ledger of the model fails: %v", err)
	case outcome.Replayed:
		w.Tell("    the ledger has decided that before")
	case outcome.Refusal != nil:
		w.Tell("    the ledger refuses: %s", outcome.Refusal.Type)
	default:
		w.Tell("    the ledger has done it")
		w.sees("a refund to a closed account", m.Kind == accountapi.KindRefund && w.closed[m.AccountNumber])
		w.moved[m.TransferID] = append(w.moved[m.TransferID], m)
	}
	if i < 0 {
		w.sent = append(w.sent, m)
	}
	return outcome
}

// client waits for the answer to one command.
type client struct {
	command  transfer.Command
	replica  *replica
	name     string
	answered atomic.Bool
	receipt  transfer.Receipt
	err      error
}

// maxRunning bounds the clients that wait at the same time, so that transfers make progress.
const maxRunning = 6

func (w *world) send(c transfer.Command, r *replica) {
	if len(w.running) == maxRunning {
		return
	}
	one := &client{command: c, replica: r, name: fmt.Sprintf("%s's command %s to pay %s", c.Origin.AccountID, c.RequestID, c.Amount)}
	w.Tell("%s reaches %s", one.name, r.Name)
	w.running = append(w.running, one)
	go func() {
		one.receipt, one.err = r.service.Execute(r.Context(context.Background()), c)
		one.answered.Store(true)
	}()
	w.Pass(time.Millisecond)
}

func (w *world) recover(r *replica) {
	if r.recovering.Swap(true) {
		return
	}
	w.Tell("%s recalls and recovers what is overdue", r.Name)
	go func() {
		_, _ = r.service.Recall(r.Context(context.Background()))
		if _, err := r.service.Recover(r.Context(context.Background())); err != nil && fault.From(err).Kind != fault.Unavailable {
			w.breaks("Recover: %v", err)
		}
		r.recovering.Store(false)
	}()
	w.Pass(time.Millisecond)
}

func (w *world) wait(d time.Duration) {
	w.Tell("%s pass", d)
	w.Pass(d)
}

// crash kills a replica and starts another in its place.
func (w *world) crash(i int, lost bool) {
	w.Crash(w.replicas[i].Process, lost)
	w.running = slices.DeleteFunc(w.running, func(c *client) bool {
		w.sees("an answer for a dead replica", c.replica == w.replicas[i])
		return c.replica == w.replicas[i]
	})
	w.replicas[i] = w.start(w.replicas[i].ahead)
}

// change closes an account, or moves money in or out by cash.
func (w *world) change(number string, amount money.Cents, closes bool) {
	w.ledger.Change(number, func(a *ledgertest.Account) {
		if closes {
			a.Inactive, w.closed[number] = true, true
			w.Tell("account %s is closed", number)
			return
		}
		amount = max(amount, -a.Balance)
		a.Balance += amount
		w.cash += amount
		w.Tell("account %s has %s now", number, a.Balance)
	})
}

// breakable returns the waiting calls that may fail.
func (w *world) breakable() []*schedtest.Call {
	return slices.DeleteFunc(w.Waiting(), func(c *schedtest.Call) bool { return !c.HasEffect() })
}

// sees records that the schedule has reached a corner, if there is true.
func (w *world) sees(corner string, there bool) {
	if there {
		w.seen[corner] = true
	}
}

// finish ends all faults. Then every transfer must become final, and late calls must change nothing.
func (w *world) finish() {
	w.Tell("all faults end")
	w.calm()
	for len(w.Late()) > 0 && w.broken() == "" {
		w.Deliver(w.Late()[0])
		w.check()
	}
	w.calm() // a late call may have created a transfer
	for _, c := range commands {
		if t := w.db.withKey(c.Origin.AccountID, c.RequestID); w.broken() != "" || t == nil || t.Fingerprint != c.Fingerprint {
			continue
		}
		w.send(c, w.replicas[0])
		w.calm()
		if _, ok := w.told[key{c.Origin.AccountID, c.RequestID}]; !ok {
			w.breaks("a client that asks in the end gets no final answer")
		}
	}
}

// calm answers every call and runs recovery until every transfer is final.
func (w *world) calm() {
	for range 12 {
		for len(w.Waiting()) > 0 && w.broken() == "" {
			w.Answer(w.Waiting()[0])
			w.check()
		}
		backlog, _ := w.db.Backlog(context.Background())
		switch {
		case w.broken() != "":
			return
		case len(backlog) == 0 && len(w.running) == 0:
			return
		}
		w.wait(10 * time.Second)
		for _, r := range w.replicas {
			w.recover(r)
		}
		w.check()
	}
	w.breaks("it does not come to an end")
}

// end lets every goroutine of the world return.
func (w *world) end() {
	for _, r := range w.replicas {
		w.Crash(r.Process, true)
	}
	time.Sleep(24 * time.Hour) // goroutines of dead replicas reach their deadlines
	for _, r := range w.replicas {
		r.service.Close()
	}
}
