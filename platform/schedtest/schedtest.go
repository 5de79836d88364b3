// Package schedtest lets a test decide in which order concurrent processes go on, and what becomes of each of their calls.
// A call (a commit, a call of another service) waits until the test answers it, loses it, delays it, or kills the process.
// Between two decisions of the test every goroutine is blocked, so the same decisions make the same run. The package works
// in a testing/synctest bubble, in which time is virtual.
package schedtest

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// What a process gets instead of an answer. Then it does not know whether its call has taken effect.
var (
	ErrLost = errors.New("connection lost")
	ErrDead = errors.New("process is dead") // only goroutines of a killed process get it
)

// step is the time that a decision takes, so that no two deadlines begin at the same moment.
const step = time.Millisecond

// Schedule is one run.
type Schedule struct {
	begin time.Time
	bell  chan struct{} // a waiting call's context has ended

	mu      sync.Mutex
	arrived int
	waiting []*Call
	late    []*Call
	story   []string
	names   map[string]string
}

// New returns a schedule. Call it in the bubble in which its processes run.
func New() *Schedule {
	return &Schedule{begin: time.Now(), bell: make(chan struct{}, 1), names: map[string]string{}}
}

// Name gives a random id a name that is the same in every run of the same decisions.
func (s *Schedule) Name(id, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[id] = name
}

// NameOf returns the name of an id, or "?".
func (s *Schedule) NameOf(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cmp.Or(s.names[id], "?")
}

// Process is one of the concurrent processes. The test can kill it alone.
type Process struct {
	Name     string
	schedule *Schedule
	dead     bool
}

// Process returns a new process. No other living process may have the same name.
func (s *Schedule) Process(name string) *Process { return &Process{Name: name, schedule: s} }

type processKey struct{}

// Context returns a context from which LogHandler knows the process.
func (p *Process) Context(parent context.Context) context.Context {
	return context.WithValue(parent, processKey{}, p)
}

// Call is something that a process waits for, or has given up waiting for.
type Call struct {
	Process *Process
	Name    string // what the process asks for; the same in every run of the same decisions
	Arrived time.Time

	number int
	effect func() // nil if the process only waits for its turn
	answer chan error
	ended  error // the error of its context, once that has ended
}

// String names the process and the call.
func (c *Call) String() string { return c.Process.Name + ": " + c.Name }

// HasEffect is false if the process only waits for its turn: then there is nothing to lose.
func (c *Call) HasEffect() bool { return c.effect != nil }

// Ask waits until the test has decided about a call of p, and returns what effect did if the answer arrives. effect
// runs in the test's goroutine, perhaps after Ask has returned.
func Ask[T any](ctx context.Context, p *Process, name string, effect func() (T, error)) (T, error) {
	var none, out T
	var failed error
	c := &Call{Process: p, Name: name, effect: func() { out, failed = effect() }}
	if err := p.schedule.wait(ctx, c); err != nil {
		return none, err
	}
	return out, failed
}

func (s *Schedule) wait(ctx context.Context, c *Call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.Arrived, c.answer = time.Now(), make(chan error, 1)
	s.mu.Lock()
	if c.Process.dead {
		s.mu.Unlock()
		return ErrDead
	}
	s.arrived++
	c.number = s.arrived
	s.waiting = append(s.waiting, c)
	s.mu.Unlock()
	select {
	case err := <-c.answer:
		return err
	case <-ctx.Done():
		s.mu.Lock()
		c.ended = ctx.Err()
		s.mu.Unlock()
		select {
		case s.bell <- struct{}{}:
		default:
		}
		return <-c.answer
	}
}

// Waiting returns the calls that wait for a decision. Their order depends on what they are, not on which goroutine was
// faster.
func (s *Schedule) Waiting() []*Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(s.waiting, func(a, b *Call) int {
		return cmp.Or(strings.Compare(a.Process.Name, b.Process.Name), strings.Compare(a.Name, b.Name), a.number-b.number)
	})
	return slices.Clone(s.waiting)
}

// Late returns the calls that no process waits for any more and that may still take effect, oldest first.
func (s *Schedule) Late() []*Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.late)
}

// Answer lets c take effect and the process go on.
func (s *Schedule) Answer(c *Call) { s.decide(c, true, false, nil, "") }

// LoseAnswer lets c take effect; the process gets ErrLost.
func (s *Schedule) LoseAnswer(c *Call) {
	s.decide(c, true, false, ErrLost, ", but its answer is lost")
}

// LoseRequest makes sure that c never takes effect; the process gets ErrLost.
func (s *Schedule) LoseRequest(c *Call) { s.decide(c, false, false, ErrLost, " is lost on its way") }

// Delay makes c late: the process gets ErrLost now, and c may take effect later.
func (s *Schedule) Delay(c *Call) {
	s.decide(c, false, true, ErrLost, " is stuck on its way, and given up")
}

func (s *Schedule) decide(c *Call, happens, late bool, err error, words string) {
	s.Tell("%s%s", c, words)
	s.remove(c, late)
	if happens && c.effect != nil {
		c.effect()
	}
	c.answer <- err
	s.Pass(step)
}

// remove takes c from those waiting.
func (s *Schedule) remove(c *Call, late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.DeleteFunc(s.waiting, func(other *Call) bool { return other == c })
	if late && c.effect != nil {
		s.late = append(s.late, c)
	}
}

// Deliver lets a late call take effect.
func (s *Schedule) Deliver(c *Call) {
	s.Tell("%s arrives late", c)
	s.mu.Lock()
	s.late = slices.DeleteFunc(s.late, func(other *Call) bool { return other == c })
	s.mu.Unlock()
	c.effect()
	s.Pass(step)
}

// Crash kills p. If lost is true, its waiting calls never take effect; otherwise they become late. Calls that its goroutines
// make afterwards never take effect.
func (s *Schedule) Crash(p *Process, lost bool) {
	s.Tell("%s crashes", p.Name)
	s.mu.Lock()
	p.dead = true
	s.mu.Unlock()
	for _, c := range s.Waiting() {
		if c.Process != p {
			continue
		}
		if c.effect != nil {
			s.Tell("%s is %s", c, map[bool]string{true: "lost on its way", false: "still on its way"}[lost])
		}
		s.remove(c, !lost)
		c.answer <- ErrDead
	}
	s.Pass(step)
}

// Pass lets time pass. A call whose context ends meanwhile becomes late, and its process gets the context's error.
func (s *Schedule) Pass(d time.Duration) {
	timer := time.NewTimer(d)
	for {
		select {
		case <-s.bell:
			s.giveUp()
		case <-timer.C:
			s.giveUp()
			return
		}
	}
}

// giveUp ends, one after the other, the calls whose context has ended.
func (s *Schedule) giveUp() {
	for {
		synctest.Wait()
		c, err := s.overdue()
		if c == nil {
			return
		}
		s.Tell("%s takes too long, and is given up", c)
		s.remove(c, true)
		c.answer <- err
	}
}

func (s *Schedule) overdue() (*Call, error) {
	waiting := s.Waiting()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range waiting {
		if c.ended != nil {
			return c, c.ended
		}
	}
	return nil, nil
}

// Tell adds a sentence to the story of this run.
func (s *Schedule) Tell(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story = append(s.story, fmt.Sprintf("%9.3f s  ", time.Since(s.begin).Seconds())+fmt.Sprintf(format, args...))
}

// Story returns what has happened so far, one line for each event.
func (s *Schedule) Story() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.story, "\n")
}

// LogHandler makes a process wait for its turn when it logs a warning or an error. So two processes that fail at the same
// moment go on one after the other. It writes no log.
type LogHandler struct{ slog.Handler }

// NewLogHandler returns a LogHandler.
func NewLogHandler() LogHandler { return LogHandler{slog.DiscardHandler} }

// Enabled implements slog.Handler.
func (LogHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle implements slog.Handler.
func (LogHandler) Handle(ctx context.Context, record slog.Record) error {
	p, ok := ctx.Value(processKey{}).(*Process)
	if !ok {
		return nil
	}
	name := "goes on after: " + record.Message
	record.Attrs(func(a slog.Attr) bool {
		if known := p.schedule.NameOf(a.Value.String()); known != "?" {
			name += " " + known
		}
		return true
	})
	return p.schedule.wait(context.WithoutCancel(ctx), &Call{Process: p, Name: name})
}

// AtLeast sets how many schedules rapid runs, until the test ends. A number on the command line counts instead, unless it is
// rapid's default, 100. AtLeast returns the number in force.
func AtLeast(t testing.TB, checks int) int {
	t.Helper()
	const byDefault = "100"
	f := flag.Lookup("rapid.checks")
	if f.Value.String() == byDefault {
		if err := f.Value.Set(strconv.Itoa(checks)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Value.Set(byDefault) })
	}
	set, err := strconv.Atoi(f.Value.String())
	if err != nil {
		t.Fatal(err)
	}
	return set
}
