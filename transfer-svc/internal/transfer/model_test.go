package transfer_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/schedtest"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// TestModel runs two replicas of the service through random schedules. Clients send and repeat commands. Each call of the
// database or the ledger is answered, is lost, or arrives late. For a while the ledger leaves credits out that travel with
// their debit. Replicas crash and recover, accounts close, time passes, and
// the database moves to servers with other clocks. After every move the rules in check must hold. Once the faults end, every
// transfer must become final.
//
// If a schedule fails, rapid shrinks it, and the test prints it move by move. rapid keeps it in a file in testdata/rapid,
// which later runs try first. -rapid.checks=N runs N schedules.
func TestModel(t *testing.T) {
	transfer.FixJitter(t)
	logInTurn(t)
	checks := schedtest.AtLeast(t, 3000)
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		schedule := slices.Concat(schedules.Draw(t, "schedule")...)
		var w *world
		rapid.SyncTest(t, func(*rapid.T) { w = run(schedule) })
		if w.broken() != "" {
			t.Fatalf("%s\n%s", w.broken(), w.story)
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
	"PENDING to COMPLETED", "PENDING to REFUNDING", "PENDING to DEBITED", "PENDING to FAILED", "DEBITED to COMPLETED", "DEBITED to REFUNDING", "REFUNDING to FAILED",
	"two steps at once", "a step after another driver's", "a commit that arrives late",
	"a lease taken over", "a lease taken early", "a lease that lasts too long", "a release after another's claim",
	"a leg that arrives late and decides", "a leg decided before", "a credit left out", "a credit after its debit in another call", "a refund to a closed account",
	"a final answer", "a final answer repeated", "an unfinished answer", "an answer for a dead replica",
	fault.ErrKeyReused.Type, fault.ErrInProgress.Type, fault.TypeInternal,
}

// TestModelRepeats checks that a schedule is deterministic: each run of it has the same course.
func TestModelRepeats(t *testing.T) {
	transfer.FixJitter(t)
	logInTurn(t)
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

// logInTurn makes goroutines that write a log line wait for their turn.
func logInTurn(t *testing.T) {
	before := slog.Default()
	slog.SetDefault(slog.New(schedtest.NewLogHandler()))
	t.Cleanup(func() { slog.SetDefault(before) })
}

// schedules are lists of short lists of moves, which rapid can shorten easily.
var schedules = rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(anyMove), 1, 12), 1, 12)

// run sends a command, makes the moves of a schedule, and then ends all faults. It stops when a rule is broken.
func run(schedule []move) *world {
	w := newWorld()
	defer w.end()
	defer func() { w.story = w.Story() }()
	w.send(commands[0], w.replicas[0])
	for _, m := range schedule {
		moves[m.verb](w, m.which)
		if w.check(); w.broken() != "" {
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
	return move{rapid.SampledFrom(verbs).Draw(t, "verb"), rapid.IntRange(0, 29).Draw(t, "which")}
}

// moves are all actions by name. An action that has nothing to act on does nothing.
var moves = map[string]func(w *world, which int){
	"answer":       func(w *world, i int) { pick(w.Waiting(), i, w.Answer) },
	"lose answer":  func(w *world, i int) { pick(w.breakable(), i, w.LoseAnswer) },
	"lose request": func(w *world, i int) { pick(w.breakable(), i, w.LoseRequest) },
	"delay":        func(w *world, i int) { pick(w.breakable(), i, w.Delay) },
	"deliver late": func(w *world, i int) { pick(w.Late(), i, w.Deliver) },
	"deliver again": func(w *world, i int) {
		pick(w.sent, i, func(m accountapi.Movement) { w.Tell("%s arrives once more", w.leg(m)); w.apply(m) })
	},
	"send":    func(w *world, i int) { w.send(commands[i%len(commands)], w.replicas[i/len(commands)%len(w.replicas)]) },
	"recover": func(w *world, i int) { w.recover(w.replicas[i%len(w.replicas)]) },
	"wait":    func(w *world, i int) { w.wait([]time.Duration{time.Second, 4 * time.Second, time.Minute}[i%3]) },
	"crash":   func(w *world, i int) { w.crash(i%len(w.replicas), i/len(w.replicas)%2 == 1) },
	"failover": func(w *world, i int) {
		w.failover([]time.Duration{0, time.Hour, 30 * time.Second, -time.Hour, -30 * time.Second}[i%5])
	},
	"leave out": func(w *world, _ int) { w.leaveOut(!w.leavesOut) },
	"close":     func(w *world, i int) { w.change([]string{"22", "11"}[i%2], 0, true) },
	"pay in":    func(w *world, i int) { w.change([]string{"22", "11"}[i%2], 50000, false) },
	"pay out":   func(w *world, i int) { w.change([]string{"22", "11"}[i%2], -50000, false) },
}

// verbs holds each name as often as its weight says. Harmless moves come first, since rapid shrinks towards the first.
var verbs = slices.Concat(
	slices.Repeat([]string{"answer"}, 14), slices.Repeat([]string{"send", "recover", "wait"}, 3),
	slices.Repeat([]string{"lose answer", "lose request", "delay", "deliver late", "close", "leave out"}, 2),
	[]string{"deliver again", "crash", "failover", "pay in", "pay out"},
)

func pick[T any](from []T, which int, do func(T)) {
	if len(from) > 0 {
		do(from[which%len(from)])
	}
}

// Who sends what: enough for concurrent, opposite, repeated and conflicting commands, and too much for the balances. Account 44
// does not exist. Account 55 takes no more money, so its credit is refused after the debit is applied.
var (
	bia      = transfer.Party{AccountID: "bia", AccountNumber: "22"}
	commands = []transfer.Command{
		{RequestID: "1", Fingerprint: "22/60000", Origin: ana, Destination: "22", Amount: 60000},
		{RequestID: "2", Fingerprint: "22/50000", Origin: ana, Destination: "22", Amount: 50000},
		{RequestID: "1", Fingerprint: "22/1", Origin: ana, Destination: "22", Amount: 1},
		{RequestID: "1", Fingerprint: "11/20000", Origin: bia, Destination: "11", Amount: 20000},
		{RequestID: "2", Fingerprint: "44/100", Origin: bia, Destination: "44", Amount: 100},
		{RequestID: "3", Fingerprint: "55/100", Origin: bia, Destination: "55", Amount: 100},
	}
)
