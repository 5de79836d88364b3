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
	"github.com/bankmore/bankmore/account-svc/accountapi/accounttest"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/schedtest"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/transfer-svc/internal/groupcommit"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// key is the UNIQUE key of a transfer.
type key struct{ accountID, requestID string }

// world is the environment of one schedule (replicas, database, ledger, clients) and the model's own records, by which check
// judges them.
type world struct {
	*schedtest.Schedule
	db       *database
	ledger   *accounttest.Ledger
	replicas []*replica
	offset   atomic.Int64  // of the database's clock, in nanoseconds
	setBack  time.Duration // by which failovers have set the database's clock back, at most
	born     int
	running  []*client
	wrong    string          // the first rule that was broken
	seen     map[string]bool // corners that this schedule has reached
	story    string          // the moves so far

	leavesOut bool // whether the ledger leaves each Then undecided, as an older one does

	closed  map[string]bool                  // accounts
	cash    money.Cents                      // the money of all customers, in accounts or in transit
	moved   map[string][]accountapi.Movement // the movements that the ledger has applied, by transfer
	sent    []accountapi.Movement            // the calls that have reached the ledger
	decided map[string]*accountapi.Movement  // the legs that the ledger has decided, by request id
	told    map[key]transfer.Transfer        // final answers that clients have had
	first   map[key]bool                     // whether a client has had the answer to a first command
	ends    map[string]time.Time             // when the lease of each transfer ends, if no failover changes the clock
	early   map[string]bool                  // transfers whose lease ends before its time, since a failover has set the clock ahead

	mu   sync.Mutex
	legs []sending // not yet checked
}

// sending is a leg as its driver sends it.
type sending struct {
	driver   *replica
	movement accountapi.Movement
	at       time.Time
	stored   time.Time // the same time by the database's clock
}

func newWorld() *world {
	w := &world{
		Schedule: schedtest.New(), cash: 120000 + accountapi.MaxBalance,
		ledger: accounttest.New(map[string]accounttest.Account{
			"11": {Balance: 100000}, "22": {Balance: 20000}, "33": {Inactive: true}, "55": {Balance: accountapi.MaxBalance},
		}),
		moved: map[string][]accountapi.Movement{}, decided: map[string]*accountapi.Movement{}, told: map[key]transfer.Transfer{}, first: map[key]bool{}, seen: map[string]bool{}, closed: map[string]bool{},
		ends: map[string]time.Time{}, early: map[string]bool{},
	}
	w.db = newDatabase(w.stepped)
	w.db.SetClock(func() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) })
	w.replicas = []*replica{w.start(), w.start()}
	return w
}

// replica is one process of transfer-svc. Its database and its ledger are the world's.
type replica struct {
	*schedtest.Process
	world      *world
	commits    *groupcommit.Store
	service    *transfer.Service
	leases     map[lease]time.Time // when each lease that it was given ends
	recovering atomic.Bool
}

// lease names the lease that the creation of a transfer or one claim has given.
type lease struct {
	transferID string
	claims     int
}

func (w *world) start() *replica {
	w.born++
	r := &replica{Process: w.Process(fmt.Sprint("replica ", w.born)), world: w, leases: map[lease]time.Time{}}
	r.commits = groupcommit.New(r)
	r.service = transfer.New(r.commits, r, config, transfer.Bells{Completed: service.NewBell(), Overdue: service.NewBell()})
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
			if t != nil && t.Claims == release.Claims {
				r.world.ends[t.ID] = time.Now().Add(release.Pause)
			}
		}
		done, err := r.world.db.Commit(context.Background(), changes)
		for i, t := range changes.Creates {
			if done.Created[i].ID == t.ID {
				r.leased(t)
			}
		}
		r.world.sees("a step after another driver's", slices.ContainsFunc(done.Stepped, time.Time.IsZero))
		return done, err
	})
}

// Claim implements transfer.Store.
func (r *replica) Claim(ctx context.Context, lease time.Duration, limit int) ([]transfer.Transfer, error) {
	return asked(ctx, r, "claim", func() ([]transfer.Transfer, error) {
		claimed, err := r.world.db.Claim(context.Background(), lease, limit)
		for _, t := range claimed {
			r.world.Tell("    %s is leased", r.world.NameOf(t.ID))
			r.world.sees("a lease taken over", t.Claims > 1)
			r.claims(t)
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
		r.world.legs = append(r.world.legs, sending{r, m, time.Now(), r.world.db.now()})
		r.world.mu.Unlock()
	}
	return schedtest.Ask(ctx, r.Process, r.world.leg(m), func() (accountapi.Outcome, error) {
		outcome := r.world.apply(m)
		r.world.sees("a leg that arrives late and decides", ctx.Err() != nil && !outcome.Replayed)
		return outcome, nil
	})
}

func (w *world) leg(m accountapi.Movement) string {
	words := fmt.Sprintf("%s of %s %s account %s", w.NameOf(m.TransferID), m.Amount,
		map[string]string{accountapi.Debit: "from", accountapi.Credit: "to"}[m.Type], m.AccountNumber)
	if m.Then != nil {
		words += " and to account " + m.Then.AccountNumber
	}
	return words
}

// leaveOut decides whether the ledger leaves each Then undecided from now on.
func (w *world) leaveOut(leaves bool) {
	w.leavesOut = leaves
	w.Tell("the ledger %s", map[bool]string{true: "leaves out what follows", false: "decides what follows"}[leaves])
}

// apply is the ledger's part of a call.
func (w *world) apply(m accountapi.Movement) accountapi.Outcome {
	w.sent = append(w.sent, m)
	then := m.Then
	m.Then = nil
	before := w.decided[m.RequestID] != nil
	outcome := w.decide(m)
	switch {
	case then == nil || outcome.Refusal != nil:
	case w.leavesOut:
		w.sees("a credit left out", true)
	default:
		w.sees("a credit after its debit in another call", before && w.decided[then.RequestID] == nil)
		outcome.Then = new(w.decide(*then))
	}
	return outcome
}

// decide is the ledger's part of one leg. Whether a leg may be decided at all is for apply to say.
func (w *world) decide(m accountapi.Movement) accountapi.Outcome {
	if first := w.decided[m.RequestID]; first != nil && *first != m {
		w.breaks("key %s is used for another movement", m.RequestID)
		return accountapi.Outcome{}
	}
	w.decided[m.RequestID] = &m
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
	w.Tell("%s recovers what is overdue", r.Name)
	go func() {
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
	w.replicas[i] = w.start()
}

// failover moves the database to another server, whose clock differs from the true time by offset.
func (w *world) failover(offset time.Duration) {
	delta := offset - time.Duration(w.offset.Swap(int64(offset)))
	w.Tell("the database's clock changes by %s", delta)
	w.setBack = max(w.setBack, -delta)
	for _, t := range w.db.rows {
		if t.State.Final() {
			continue
		}
		w.early[t.ID] = w.early[t.ID] || delta > 0
		w.sees("a lease that lasts too long", delta < 0 && w.db.read(t).Lease > time.Minute)
	}
}

// change closes an account, or moves money in or out by cash.
func (w *world) change(number string, amount money.Cents, closes bool) {
	w.ledger.Change(number, func(a *accounttest.Account) {
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
		w.wait(10*time.Second + w.setBack)
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
		r.commits.Close()
	}
}
