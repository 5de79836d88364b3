package fee_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/accountapi/accounttest"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/groupcommit"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/schedtest"
	"github.com/bankmore/bankmore/platform/service"
)

// TestModel runs two replicas of the service through random schedules. Events arrive, several times and at both replicas.
// Each call of the database or the ledger is answered, is lost, or arrives late. Replicas crash, the database moves to servers
// with other clocks, balances change, accounts close, and time passes. After every move the rules in check must hold. Once the
// faults end, every fee must become charged or waived.
//
// If a schedule fails, rapid shrinks it, and the test prints it move by move. rapid keeps it in a file in testdata/rapid,
// which later runs try first. -rapid.checks=N runs N schedules.
func TestModel(t *testing.T) {
	fee.FixJitter(t)
	checks := schedtest.AtLeast(t, 2000)
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		schedule := slices.Concat(schedules.Draw(t, "schedule")...)
		var w *world
		rapid.SyncTest(t, func(*rapid.T) { w = run(schedule) })
		if w.wrong != "" {
			t.Fatalf("%s\n%s", w.wrong, w.story)
		}
		for corner := range w.seen {
			seen[corner]++
		}
	})
	t.Logf("schedules that came there: %v", seen)
	for _, corner := range corners {
		if checks >= 1000 && seen[corner] == 0 {
			t.Errorf("no schedule came to: %s", corner)
		}
	}
}

// corners are the rare situations that a thousand schedules must have reached. Else the test would prove too little.
var corners = []string{
	"an event that came before", "CHARGED", "CHARGED after a refusal", "WAIVED", "PENDING after an unknown outcome",
	"a settlement after another collector's", "a debit decided before", "a debit that arrives late and decides",
	"a settlement that arrives late", "a debtor that was put off too far", "a debtor that waits for balance", "a debit of what was decided",
}

// TestModelRepeats checks that a schedule is deterministic: each run of it has the same course.
func TestModelRepeats(t *testing.T) {
	fee.FixJitter(t)
	rapid.Check(t, func(t *rapid.T) {
		schedule := slices.Concat(schedules.Draw(t, "schedule")...)
		var first, second *world
		rapid.SyncTest(t, func(*rapid.T) { first = run(schedule) })
		rapid.SyncTest(t, func(*rapid.T) { second = run(schedule) })
		if diff := cmp.Diff(strings.Split(first.story, "\n"), strings.Split(second.story, "\n")); diff != "" {
			t.Fatalf("the same schedule, another story (-first +second):\n%s", diff)
		}
	})
}

// schedules are lists of short lists of moves, which rapid can shorten easily.
var schedules = rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(anyMove), 1, 12), 1, 12)

// run delivers an event, makes the moves of a schedule, and then ends all faults. It stops when a rule is broken.
func run(schedule []move) *world {
	w := newWorld()
	defer w.end()
	defer func() { w.story = w.Story() }()
	w.event(transfers[0], w.replicas[0])
	for _, m := range schedule {
		moves[m.verb](w, m.which)
		if w.check(); w.wrong != "" {
			return w
		}
	}
	w.finish()
	return w
}

// move is one action of the scheduler. It also says which of the possible objects (calls, replicas, accounts) it acts on.
type move struct {
	verb  string
	which int
}

func anyMove(t *rapid.T) move {
	return move{rapid.SampledFrom(verbs).Draw(t, "verb"), rapid.IntRange(0, 23).Draw(t, "which")}
}

// moves are all actions by name. An action that has nothing to act on does nothing.
var moves = map[string]func(w *world, which int){
	"answer":       func(w *world, i int) { pick(w.Waiting(), i, w.Answer) },
	"lose answer":  func(w *world, i int) { pick(w.Waiting(), i, w.LoseAnswer) },
	"lose request": func(w *world, i int) { pick(w.Waiting(), i, w.LoseRequest) },
	"delay":        func(w *world, i int) { pick(w.Waiting(), i, w.Delay) },
	"deliver late": func(w *world, i int) { pick(w.Late(), i, w.Deliver) },
	"deliver again": func(w *world, i int) {
		pick(w.sent, i, func(m accountapi.Movement) { w.Tell("%s arrives once more", w.debit(m)); w.apply(m) })
	},
	"event":   func(w *world, i int) { w.event(transfers[i%len(transfers)], w.replicas[i/len(transfers)%2]) },
	"collect": func(w *world, i int) { w.collect(w.replicas[i%2]) },
	"collect and ask": func(w *world, i int) {
		w.collect(w.replicas[i%2])
		w.untilDebits(w.replicas[i%2])
	},
	"race": func(w *world, i int) {
		w.collect(w.replicas[i%2])
		w.untilDebits(w.replicas[i%2])
		w.pay([]string{poor, rich}[i/2%2], -5000)
	},
	"failover": func(w *world, i int) { w.failover([]time.Duration{0, 3 * time.Hour, -3 * time.Hour}[i%3]) },
	"wait":     func(w *world, i int) { w.wait([]time.Duration{time.Second, 6 * time.Second, 5 * time.Minute}[i%3]) },
	"crash":    func(w *world, i int) { w.crash(i%2, i/2%2 == 1) },
	"pay in":   func(w *world, i int) { w.pay([]string{poor, rich}[i%2], 200) },
	"pay out":  func(w *world, i int) { w.pay([]string{poor, rich}[i%2], -5000) },
	"close":    func(w *world, i int) { w.close([]string{poor, rich}[i%2]) },
}

// verbs holds each name as often as its weight says. Harmless moves come first, since rapid shrinks towards the first.
var verbs = slices.Concat(
	slices.Repeat([]string{"answer"}, 12), slices.Repeat([]string{"wait"}, 4), slices.Repeat([]string{"collect", "collect and ask"}, 2),
	slices.Repeat([]string{"event", "pay in", "lose answer", "lose request", "delay", "deliver late"}, 2),
	[]string{"deliver again", "crash", "pay out", "race", "close", "failover"},
)

func pick[T any](from []T, which int, do func(T)) {
	if len(from) > 0 {
		do(from[which%len(from)])
	}
}

// transfers are the transfers of the events. The poor account cannot pay before it gets money.
var transfers = []fee.Transfer{
	{ID: "00000000-0000-7000-8000-000000000001", AccountNumber: poor, Amount: 15000},
	{ID: "00000000-0000-7000-8000-000000000002", AccountNumber: poor, Amount: 15000},
	{ID: "00000000-0000-7000-8000-000000000003", AccountNumber: rich, Amount: 15000},
}

// pacing is the default configuration.
var pacing = fee.Config{Amount: 200, BalanceInterval: 30 * time.Second}

// world is the environment of one schedule (replicas, database, ledger, events) and the model's own records, by which check
// judges them.
type world struct {
	*schedtest.Schedule
	db        *database
	ledger    ledger
	replicas  []*replica
	born      int
	offset    atomic.Int64  // of the database's clock, in nanoseconds
	setBack   time.Duration // by which failovers have set the database's clock back, at most
	unclaimed bool          // a failover has set the clock ahead: two collectors may have one debtor since
	running   []*delivered
	wrong     string          // the first rule that was broken
	seen      map[string]bool // corners that this schedule has reached
	story     string          // the moves so far

	cash  money.Cents            // the money of all customers, and the fees that the bank has
	moved map[string]money.Cents // debited amounts, by transfer
	sent  []accountapi.Movement  // the debits that have reached the ledger
	acked map[string]bool        // transfers whose event is acknowledged
	final map[string]fee.Fee     // fees that were charged or waived, by transfer

	mu     sync.Mutex
	debits []sending // not yet checked
}

// sending is a debit as its collector sends it.
type sending struct {
	movement accountapi.Movement
	at       time.Time // by the database's clock
	known    bool      // the ledger has answered that it has decided the key
	covered  bool      // the ledger has answered with enough balance
}

// delivered is the delivery of an event to a replica.
type delivered struct {
	transfer fee.Transfer
	replica  *replica
	over     atomic.Bool
	err      error
}

func newWorld() *world {
	w := &world{
		Schedule: schedtest.New(), ledger: newLedger(map[string]money.Cents{poor: 100, rich: 1000}), cash: 1100,
		seen: map[string]bool{}, moved: map[string]money.Cents{}, acked: map[string]bool{}, final: map[string]fee.Fee{},
	}
	for i, t := range transfers {
		w.Name(t.ID, fmt.Sprint("fee ", i+1))
	}
	w.db = newDatabase(w.changed)
	w.db.SetClock(func() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) })
	w.replicas = []*replica{w.start(), w.start()}
	return w
}

// replica is one process of fee-svc. Its database and its ledger are the world's.
type replica struct {
	fee.Store
	*schedtest.Process
	world      *world
	commits    *groupcommit.Store
	service    *fee.Service
	collector  *fee.Collector
	collecting atomic.Bool

	mu      sync.Mutex
	covered map[string]money.Cents // what is left of the last answered balance, by account
	decided map[string]bool        // keys that the ledger has decided, as the last answer said
}

func (w *world) start() *replica {
	w.born++
	r := &replica{Process: w.Process(fmt.Sprint("replica ", w.born)), world: w}
	r.commits = groupcommit.New(r)
	r.service = fee.New(r.commits, pacing, service.NewBell())
	r.collector = fee.NewCollector(r.commits, r, pacing, service.NewBell())
	return r
}

// Add implements fee.Store.
func (r *replica) Add(ctx context.Context, fees []fee.Fee) ([]bool, error) {
	var names []string
	for _, f := range fees {
		names = append(names, r.world.NameOf(f.TransferID))
	}
	return schedtest.Ask(ctx, r.Process, "add "+strings.Join(names, ", "), func() ([]bool, error) {
		return r.world.db.Add(context.Background(), fees)
	})
}

// Claim implements fee.Queue.
func (r *replica) Claim(ctx context.Context, lease time.Duration, limit int) ([]fee.Debtor, error) {
	return schedtest.Ask(ctx, r.Process, "claim", func() ([]fee.Debtor, error) {
		debtors, err := r.world.db.Claim(context.Background(), lease, limit)
		for _, d := range debtors {
			r.world.Tell("    account %s is claimed", d.AccountNumber)
		}
		return debtors, err
	})
}

// Owed implements fee.Queue.
func (r *replica) Owed(ctx context.Context, accountNumbers []string, each int) ([]fee.Claim, error) {
	return schedtest.Ask(ctx, r.Process, "owed by "+strings.Join(accountNumbers, ", "), func() ([]fee.Claim, error) {
		return r.world.db.Owed(context.Background(), accountNumbers, each)
	})
}

// Settle implements fee.Queue.
func (r *replica) Settle(ctx context.Context, settlements []fee.Settlement, releases []fee.Release) ([]fee.Settlement, error) {
	w := r.world
	var words []string
	for _, s := range settlements {
		words = append(words, fmt.Sprintf("%s %s %s", w.NameOf(s.ID), s.Status, s.Reason))
	}
	for _, d := range releases {
		w.sees("a debtor that waits for balance", d.Waits)
		words = append(words, "account "+d.AccountNumber+map[bool]string{true: " waits"}[d.Waits])
	}
	slices.Sort(words)
	return schedtest.Ask(ctx, r.Process, "settle ["+strings.Join(words, "; ")+"]", func() ([]fee.Settlement, error) {
		effective, err := w.db.Settle(context.Background(), settlements, releases)
		w.sees("a settlement that arrives late", ctx.Err() != nil && len(effective) > 0)
		w.sees("a settlement after another collector's", len(effective) < len(settlements))
		return effective, err
	})
}

// Backlog implements fee.Queue.
func (r *replica) Backlog(ctx context.Context) (fee.Backlog, error) {
	return r.world.db.Backlog(ctx)
}

// Balances implements fee.Ledger.
func (r *replica) Balances(ctx context.Context, questions []accountapi.BalanceQuestion) ([]accountapi.Standing, error) {
	var about []string
	for _, q := range questions {
		about = append(about, q.AccountNumber)
	}
	standings, err := schedtest.Ask(ctx, r.Process, "balances of "+strings.Join(about, ", "), func() ([]accountapi.Standing, error) {
		return r.world.ledger.Balances(context.Background(), questions)
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.covered, r.decided = map[string]money.Cents{}, map[string]bool{}
	for _, s := range standings {
		if r.covered[s.AccountNumber] = s.Balance; !s.Active {
			r.covered[s.AccountNumber] = 1 << 40 // the ledger refuses every debit of a closed account
		}
		for _, key := range s.Decided {
			r.decided[key] = true
		}
	}
	return standings, err
}

// Move implements fee.Ledger.
func (r *replica) Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error) {
	if ctx.Err() == nil {
		r.mu.Lock()
		known := r.decided[m.RequestID]
		if !known {
			r.covered[m.AccountNumber] -= m.Amount
		}
		covered := r.covered[m.AccountNumber] >= 0
		r.mu.Unlock()
		r.world.mu.Lock()
		r.world.debits = append(r.world.debits, sending{m, r.world.db.now(), known, covered})
		r.world.mu.Unlock()
	}
	return schedtest.Ask(ctx, r.Process, r.world.debit(m), func() (accountapi.Outcome, error) {
		outcome := r.world.apply(m)
		r.world.sees("a debit that arrives late and decides", ctx.Err() != nil && !outcome.Replayed)
		return outcome, nil
	})
}

func (w *world) debit(m accountapi.Movement) string {
	return fmt.Sprintf("debit %s from account %s (%s)", w.NameOf(m.TransferID), m.AccountNumber, m.RequestID[36:])
}

// apply is the ledger's part of a debit.
func (w *world) apply(m accountapi.Movement) accountapi.Outcome {
	before := w.ledger.Balance(m.AccountNumber)
	outcome, err := w.ledger.Move(context.Background(), m)
	switch {
	case err != nil:
		w.breaks("the ledger of the model fails: %v", err)
	case outcome.Refusal != nil:
		w.Tell("    the ledger refuses: %s", outcome.Refusal.Type)
	default:
		w.Tell("    the ledger has done it")
	}
	w.sees("a debit decided before", outcome.Replayed)
	w.moved[m.TransferID] += before - w.ledger.Balance(m.AccountNumber)
	w.sent = append(w.sent, m)
	return outcome
}

func (w *world) event(t fee.Transfer, r *replica) {
	w.Tell("the event of %s reaches %s", w.NameOf(t.ID), r.Name)
	e := &delivered{transfer: t, replica: r}
	w.running = append(w.running, e)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		defer cancel()
		_, errs := r.service.Record(ctx, []fee.Transfer{t})
		e.err = errs[0]
		e.over.Store(true)
	}()
	w.Pass(time.Millisecond)
}

func (w *world) collect(r *replica) {
	if r.collecting.Swap(true) {
		return
	}
	w.Tell("%s collects", r.Name)
	go func() {
		_, _ = r.collector.Round(context.Background()) // errors are only logged; the next round follows anyway
		r.collecting.Store(false)
	}()
	w.Pass(time.Millisecond)
}

// untilDebits answers the calls of a collector up to its first debit.
func (w *world) untilDebits(r *replica) {
	for _, question := range []string{"claim", "owed", "balances"} {
		for _, call := range w.Waiting() {
			if call.Process == r.Process && strings.HasPrefix(call.Name, question) {
				w.Answer(call)
			}
		}
	}
}

// failover moves the database to another server, whose clock differs from the true time by offset.
func (w *world) failover(offset time.Duration) {
	delta := offset - time.Duration(w.offset.Swap(int64(offset)))
	w.Tell("the database's clock changes by %s", delta)
	w.setBack = max(w.setBack, -delta)
	w.unclaimed = w.unclaimed || delta > 0
	for _, d := range w.db.debtors {
		w.sees("a debtor that was put off too far", delta < 0 && max(d.due.Sub(w.db.now()), d.Until.Sub(w.db.now())) > time.Minute)
	}
}

func (w *world) wait(d time.Duration) {
	w.Tell("%s pass", d)
	w.Pass(d)
}

// crash kills a replica and starts another in its place.
func (w *world) crash(i int, lost bool) {
	w.Crash(w.replicas[i].Process, lost)
	w.running = slices.DeleteFunc(w.running, func(e *delivered) bool { return e.replica == w.replicas[i] })
	w.replicas[i] = w.start()
}

// pay moves money into an account, or out of it.
func (w *world) pay(account string, amount money.Cents) {
	amount = max(amount, -w.ledger.Balance(account))
	w.ledger.deposit(account, amount)
	w.cash += amount
	w.Tell("account %s has %s now", account, w.ledger.Balance(account))
}

func (w *world) close(account string) {
	w.ledger.Change(account, func(a *accounttest.Account) { a.Inactive = true })
	w.Tell("account %s is closed", account)
}

// breaks records a broken rule. Only the first one is kept.
func (w *world) breaks(format string, args ...any) {
	if w.wrong == "" {
		w.wrong = fmt.Sprintf(format, args...)
	}
}

// sees records that the schedule has reached a corner, if there is true.
func (w *world) sees(corner string, there bool) {
	if there {
		w.seen[corner] = true
	}
}

// changed checks each change of a fee in the database.
func (w *world) changed(before, after row) {
	name := w.NameOf(after.TransferID)
	w.Tell("    the database has %s %s at attempt %d", name, after.Status, after.Attempt)
	if before.ID == "" {
		w.Name(after.ID, name)
		return
	}
	w.sees(string(after.Status), true)
	w.sees("CHARGED after a refusal", after.Status == fee.Charged && after.Attempt > 1)
	w.sees("PENDING after an unknown outcome", after.Unknowns > 0)
	key := after.TransferID + ":fee"
	if before.Attempt > 1 {
		key += fmt.Sprint(":", before.Attempt)
	}
	decided, ok := w.ledger.Decision(key)
	refused := ok && decided.Refusal != nil
	switch {
	case before.Status != fee.Pending:
		w.breaks("%s was %s and is %s", name, before.Status, after.Status)
	case after.Attempt == before.Attempt+1 && !refused, after.Attempt > before.Attempt+1, after.Attempt < before.Attempt:
		w.breaks("%s goes from attempt %d to %d, and the ledger has said %+v to the first", name, before.Attempt, after.Attempt, decided)
	case after.Status == fee.Waived && !refused:
		w.breaks("%s is waived, and the ledger has not refused it", name)
	}
}

// check is the model: after a move it checks that the answers to events, the database and the ledger agree.
func (w *world) check() {
	w.hear()
	w.checkLeases()
	for _, defect := range w.ledger.defects() {
		w.breaks("%s", defect)
	}
	total := money.Cents(0)
	for _, account := range []string{poor, rich} {
		if w.ledger.Balance(account) < 0 {
			w.breaks("account %s is overdrawn", account)
		}
		total += w.ledger.Balance(account)
	}
	for id, amount := range w.moved {
		total += amount
		if w.db.of(id) == nil && amount != 0 {
			w.breaks("%s is debited, and is in no database", w.NameOf(id))
		}
	}
	if total != w.cash {
		w.breaks("there is %s, there should be %s", total, w.cash)
	}
	for _, r := range w.db.rows {
		w.checkFee(r)
		if r.Status == fee.Pending && w.db.debtors[r.AccountNumber] == nil {
			w.breaks("%s is pending, and account %s is no debtor", w.NameOf(r.TransferID), r.AccountNumber)
		}
	}
}

func (w *world) checkFee(r *row) {
	name, debited := w.NameOf(r.TransferID), w.moved[r.TransferID]
	allowed := map[fee.Status][]money.Cents{fee.Pending: {0, r.Amount}, fee.Charged: {r.Amount}, fee.Waived: {0}}
	if !slices.Contains(allowed[r.Status], debited) {
		w.breaks("%s is %s, and %s are debited for it", name, r.Status, debited)
	}
	events := 0
	for _, e := range w.db.events {
		if e.ID == r.ID {
			events++
		}
	}
	if (events == 1) != (r.Status == fee.Charged) || events > 1 {
		w.breaks("%s is %s and has %d events", name, r.Status, events)
	}
	if before, ok := w.final[r.TransferID]; ok && before != r.Fee {
		w.breaks("%s was %s, which is final, and is %s", name, before.Status, r.Status)
	}
	if r.Status != fee.Pending {
		w.final[r.TransferID] = r.Fee
	}
}

// checkLeases checks three rules for each debit. Its fee is in the database. Its collector has a claim, unless a claim may
// have ended before its time. The ledger has answered that the balance covers the fee, or that it has decided the key.
func (w *world) checkLeases() {
	w.mu.Lock()
	debits := w.debits
	w.debits = nil
	w.mu.Unlock()
	for _, s := range debits {
		w.sees("a debit of what was decided", s.known)
		r, d := w.db.of(s.movement.TransferID), w.db.debtors[s.movement.AccountNumber]
		switch {
		case r == nil:
			w.breaks("a debit is sent for a fee that is in no database")
		case !w.unclaimed && r.Status == fee.Pending && (d == nil || !d.Until.After(s.at)):
			w.breaks("%s is sent without a claim", w.debit(s.movement))
		case !s.known && !s.covered:
			w.breaks("%s is sent, and the ledger has not said that there is balance for it", w.debit(s.movement))
		}
	}
}

// hear checks the answers to events: an acknowledged event has its fee.
func (w *world) hear() {
	for _, e := range w.running {
		if !e.over.Load() {
			continue
		}
		name := w.NameOf(e.transfer.ID)
		if e.err != nil {
			w.Tell("the event of %s is not acknowledged: %v", name, e.err)
			continue
		}
		w.Tell("the event of %s is acknowledged", name)
		w.sees("an event that came before", w.acked[e.transfer.ID])
		w.acked[e.transfer.ID] = true
	}
	w.running = slices.DeleteFunc(w.running, func(e *delivered) bool { return e.over.Load() })
	for id := range w.acked {
		if w.db.of(id) == nil {
			w.breaks("the event of %s is acknowledged, and there is no fee", w.NameOf(id))
		}
	}
}

// finish ends all faults and makes all accounts rich. Then every fee must become charged or waived, and late calls must
// change nothing.
func (w *world) finish() {
	w.Tell("all faults end")
	for _, t := range transfers {
		w.event(t, w.replicas[0]) // the broker delivers until it is acknowledged
	}
	w.pay(poor, 10000)
	w.pay(rich, 10000)
	w.calm()
	for len(w.Late()) > 0 && w.wrong == "" {
		w.Deliver(w.Late()[0])
		w.check()
	}
	w.calm()
	if w.wrong == "" && len(w.db.rows) != len(transfers) {
		w.breaks("%d fees for %d transfers", len(w.db.rows), len(transfers))
	}
}

// calm answers every call and collects until no fee is pending.
func (w *world) calm() {
	for range 12 {
		for len(w.Waiting()) > 0 && w.wrong == "" {
			w.Answer(w.Waiting()[0])
			w.check()
		}
		if backlog, _ := w.db.Backlog(context.Background()); w.wrong != "" || (backlog == fee.Backlog{} && len(w.running) == 0) {
			return
		}
		w.wait(time.Minute + w.setBack)
		for _, r := range w.replicas {
			w.collect(r)
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
