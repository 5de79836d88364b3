package chaos_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

var (
	rowsFlag        = flag.String("rows", "", "rows of the fault matrix to run, such as 3,4; storm is one; all if empty")
	repetitionsFlag = flag.Int("repetitions", 20, "of each row")
	minuteFlag      = flag.Bool("minute", true, "the outages of a whole minute in rows 11 and 12")
	longFlag        = flag.Int("long", 0, "repetitions at most of a row whose repetitions take long, which are 17, 19 and 20; as many as of the others if 0")
	turnFlag        = flag.Int("turn", 0, "number of this run, of runs with few repetitions: each goes on with the variants of a row where the one before has ended")
	hangUpsFlag     = flag.Duration("hangups", 20*time.Second, "how long clients hang up in a repetition of row 17")
	stormFlag       = flag.Duration("storm", 2*time.Minute, "how long the storm lasts")
	patienceFlag    = flag.Duration("patience", 2*time.Minute, "how long a client asks for an outcome, and everything may take to come to its end; recovery and collectors rest for up to 30 s")
	seedFlag        = flag.Uint64("seed", 0, "of the storm's plan; drawn if 0")
)

// breakable is a system whose services can be killed between any two steps, and whose lines to PostgreSQL can be cut. A
// driver's time is shortened, and its lease with it, so that recovery soon has something to do.
var breakable = stack.Options{
	Tags: stack.CrashpointsTag,
	Cut:  true,
	Env: map[string]string{
		"TRANSFER_DEADLINE": deadline.String(), "TRANSFER_ATTEMPT_TIMEOUT": attemptTimeout.String(),
		"RECOVERY_INTERVAL": "200ms", "OUTBOX_INTERVAL": "200ms",
	},
}

// The driver's times in transfer-svc. They leave a leg its time on a machine that is busy.
const (
	deadline       = 2 * time.Second
	attemptTimeout = 700 * time.Millisecond
)

// row is a row of the fault matrix. run makes the fault happen, repeatedly, and checks what only this row can check. What must
// hold after every row is in (*scenario).check.
type row struct {
	number string
	fault  string
	run    func(s *scenario)
}

var matrix = []row{
	{"1", "a debit commits, its answer is lost, the caller retries", lostAnswers},
	{"2", "the database connection is cut just before COMMIT, and just after", cutCommits},
	{"3", "transfer-svc is killed between debit and credit", killedDrivers},
	{"4", "the credit times out but has committed", lateCredits},
	{"5", "100 concurrent requests with the same key", crowds},
	{"6", "same key, another amount: before, during and after", otherAmounts},
	{"7", "opposite transfers between two accounts, 60 at once", opposites},
	{"8", "insufficient balance, a deposit, the same key again", refusals},
	{"9", "an event twice, and by two handlers at once", repeatedEvents},
	{"10", "events that make no sense, among good ones", poison},
	{"11", "broker down, fee-svc down, a kill between publish and mark", feesInterrupted},
	{"12", "account-svc down under load", ledgerDown},
	{"13", "the state store is gone, or flushed", memoryGone},
	{"14", "a sidecar is killed and restarted", sidecarsKilled},
	{"15", "a rolling restart of every service under load", rollingRestarts},
	{"16", "the database refuses writes", writesRefused},
	{"17", "clients hang up while requests are under way and answers arrive", hangingUp},
	{"18", "the answers to register and deactivate are lost", lostCustomers},
	{"19", "one command among many is refused by the database, or its row is locked", aloneWithItsError},
	{"20", "databases are lost and come back from a backup", restoredBackups},
	{"storm", "anything, any time, under load", storm},
}

// TestChaos runs the fault matrix and prints what came of it.
func TestChaos(t *testing.T) {
	ran = true
	if *repetitionsFlag < 1 {
		t.Fatal("-repetitions must be at least 1")
	}
	var table []string
	defer func() { printTable(table) }()
	chosen := strings.FieldsFunc(*rowsFlag, func(r rune) bool { return r == ',' || r == ' ' })
	for _, number := range chosen {
		if !slices.ContainsFunc(matrix, func(r row) bool { return r.number == number }) {
			t.Fatalf("no row %s", number)
		}
	}
	effects, violations := 0, 0
	for _, r := range matrix {
		if len(chosen) > 0 && !slices.Contains(chosen, r.number) {
			continue
		}
		began := time.Now()
		s := &scenario{}
		passed := t.Run(r.number, func(t *testing.T) {
			s.T = t
			s.heal()
			r.run(s)
			s.check()
		})
		if !passed && s.violations == 0 {
			s.note("did not come to its end: proves nothing")
		}
		effects, violations = effects+s.effects, violations+s.violations
		table = append(table, fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%.0f s", r.number, r.fault, s.repetitions, s.effects, s.violations, time.Since(began).Seconds()))
		table = append(table, s.notes...)
	}
	if effects == 0 && !t.Failed() {
		t.Error("no row has checked anything: -run or -rows leaves all of them out")
	}
	table = append(table, "\ttotal\t\t"+strconv.Itoa(effects)+"\t"+strconv.Itoa(violations)+"\t")
}

func printTable(rows []string) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "row\tfault\trepetitions\teffects checked\tviolations\ttime")
	for _, r := range rows {
		fmt.Fprintln(w, r)
	}
	_ = w.Flush()
}

// scenario is a row under way: its customers, what they know, and what was found.
type scenario struct {
	*testing.T

	customers []*bank.Customer // may be paid and paged
	closed    []bank.Customer  // have closed their accounts
	load      *load
	asking    sync.RWMutex // held for reading by each client that waits for an answer, until it has noted what the answer tells

	mu          sync.Mutex
	facts       []*fact
	repetitions int
	effects     int
	violations  int
	notes       []string // below the row in the table
}

// violated reports a violation.
func (s *scenario) violated(format string, args ...any) {
	s.Helper()
	s.mu.Lock()
	s.violations++
	s.mu.Unlock()
	s.Errorf(format, args...)
}

// checked counts effects that were compared with what they had to be.
func (s *scenario) checked(n int) {
	s.mu.Lock()
	s.effects += n
	s.mu.Unlock()
}

func (s *scenario) note(format string, args ...any) {
	s.notes = append(s.notes, "\t  "+fmt.Sprintf(format, args...)+"\t\t\t\t")
}

// must ends the row if the test cannot make its fault. Such a row proves nothing.
func (s *scenario) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// repeat makes a fault happen as often as -repetitions says. The number that it gives to fault chooses the row's variant.
func (s *scenario) repeat(fault func(n int)) { s.repeatTimes(*repetitionsFlag, fault) }

// repeatLong is repeat for a fault that takes long.
func (s *scenario) repeatLong(fault func(n int)) {
	times := *repetitionsFlag
	if *longFlag > 0 {
		times = min(times, *longFlag)
	}
	s.repeatTimes(times, fault)
}

func (s *scenario) repeatTimes(times int, fault func(n int)) {
	for i := range times {
		fault(*turnFlag*times + i)
		s.repetitions++
		if s.Failed() {
			return
		}
	}
}

// service is the process of a service.
func service(id string) *stack.Process { return system.Apps[id].Service }

// arm arms a crash point of a service.
func (s *scenario) arm(id, point, action, function string) *stack.Crashpoint {
	s.Helper()
	armed, err := service(id).Arm(point, action, function)
	s.must(err)
	return armed
}

// killedAt waits until the crash point has killed a service, and starts the service again.
func (s *scenario) killedAt(id string, armed *stack.Crashpoint) {
	s.Helper()
	s.must(armed.Killed(s.Context()))
	s.must(service(id).Start(s.Context()))
}

// cut breaks the line between a service and its database, in a transaction of that function which do sets off.
func (s *scenario) cut(id, function string, committed bool, do func()) {
	s.Helper()
	s.must(system.Cut(s.Context(), system.Apps[id], function, committed, do))
}

// freshSidecars starts the sidecars of the services again. A sidecar refuses calls of its app for a second after each third failed
// probe (docs/adr/0059), and rows that end services make probes fail. In rows 17 and 19 no request may fail.
func (s *scenario) freshSidecars() {
	s.Helper()
	for _, id := range stack.Services {
		sidecar := system.Apps[id].Sidecar
		s.must(sidecar.Terminate())
		s.must(sidecar.Start(s.Context()))
	}
	s.must(system.WaitOpen(s.Context()))
}

// forgetState makes the state store forget everything.
func (s *scenario) forgetState() {
	s.Helper()
	s.must(system.ForgetState(s.Context()))
}

// down takes a server away for a while.
func (s *scenario) down(server stack.Server, pause time.Duration) {
	s.Helper()
	s.must(server.Kill())
	time.Sleep(pause)
	s.must(server.Start(s.Context()))
}

// crashesTold is what earlier rows have reported of crashes, so that each crash is reported once.
var crashesTold string

// lives checks that no process has ended by itself.
func (s *scenario) lives() {
	s.Helper()
	if err := system.Crashed(); err != nil && err.Error() != crashesTold {
		crashesTold = err.Error()
		s.violated("a process has crashed: %v", err)
	}
}

// heal makes everything whole again: nothing armed, nothing cut, everything running.
func (s *scenario) heal() {
	s.Helper()
	s.lives()
	for _, app := range system.Apps {
		s.must(app.Service.Disarm())
		if app.Line != nil {
			s.must(app.Line.Start(s.Context()))
		}
	}
	for _, p := range system.Processes() {
		if p.Running() {
			s.must(p.Resume())
		}
	}
	for _, server := range system.Servers() {
		s.must(server.Start(s.Context()))
	}
	s.must(system.StartAll(s.Context()))
}
