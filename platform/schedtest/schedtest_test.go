package schedtest_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bankmore/bankmore/platform/schedtest"
)

// asking is a process that makes one call.
type asking struct {
	*schedtest.Schedule
	process  *schedtest.Process
	effects  int
	returned chan struct{}
	got      int
	err      error
}

func ask(ctx context.Context) *asking {
	a := &asking{Schedule: schedtest.New(), returned: make(chan struct{})}
	a.process = a.Process("p")
	go func() {
		defer close(a.returned)
		a.got, a.err = schedtest.Ask(ctx, a.process, "call", func() (int, error) { a.effects++; return 7, nil })
	}()
	a.Pass(time.Millisecond)
	return a
}

func TestDecisions(t *testing.T) {
	for name, test := range map[string]struct {
		decide  func(a *asking)
		effects int // once the call has returned
		late    int
		got     int
		err     error
	}{
		"answer":         {func(a *asking) { a.Answer(a.Waiting()[0]) }, 1, 0, 7, nil},
		"lose answer":    {func(a *asking) { a.LoseAnswer(a.Waiting()[0]) }, 1, 0, 0, schedtest.ErrLost},
		"lose request":   {func(a *asking) { a.LoseRequest(a.Waiting()[0]) }, 0, 0, 0, schedtest.ErrLost},
		"delay":          {func(a *asking) { a.Delay(a.Waiting()[0]) }, 0, 1, 0, schedtest.ErrLost},
		"time":           {func(a *asking) { a.Pass(time.Minute) }, 0, 1, 0, context.DeadlineExceeded},
		"crash":          {func(a *asking) { a.Crash(a.process, false) }, 0, 1, 0, schedtest.ErrDead},
		"crash and loss": {func(a *asking) { a.Crash(a.process, true) }, 0, 0, 0, schedtest.ErrDead},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				a := ask(ctx)
				if len(a.Waiting()) != 1 || a.effects != 0 {
					t.Fatalf("%d calls waiting, %d effects before the decision", len(a.Waiting()), a.effects)
				}
				test.decide(a)
				<-a.returned
				if a.got != test.got || !errors.Is(a.err, test.err) || a.effects != test.effects || len(a.Late()) != test.late {
					t.Errorf("got %d, %v, %d effects, %d late; want %+v", a.got, a.err, a.effects, len(a.Late()), test)
				}
				for _, c := range a.Late() {
					a.Deliver(c)
				}
				if a.effects != test.effects+test.late || len(a.Late())+len(a.Waiting()) != 0 {
					t.Errorf("in the end %d effects", a.effects)
				}
			})
		})
	}
}

func TestCallsTooLateHaveNoEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := schedtest.New()
		p := s.Process("p")
		effect := func() (int, error) { t.Error("it happened"); return 0, nil }
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := schedtest.Ask(gone, p, "call", effect); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that is gone: %v", err)
		}
		s.Crash(p, true)
		if _, err := schedtest.Ask(t.Context(), p, "call", effect); !errors.Is(err, schedtest.ErrDead) {
			t.Errorf("a dead process: %v", err)
		}
	})
}

// Two processes call at the same moment. The schedule orders them by their names.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := schedtest.New()
		for _, name := range []string{"b", "c", "a"} {
			p := s.Process(name)
			go func() {
				_, _ = schedtest.Ask(t.Context(), p, "call", func() (int, error) { return 0, nil })
			}()
		}
		s.Pass(time.Millisecond)
		var order []string
		for len(s.Waiting()) > 0 {
			order = append(order, s.Waiting()[0].String())
			s.Answer(s.Waiting()[0])
		}
		if got := strings.Join(order, ", "); got != "a: call, b: call, c: call" {
			t.Error(got)
		}
		if got := s.Story(); !strings.HasSuffix(got, "0.003 s  c: call") {
			t.Errorf("story:\n%s", got)
		}
	})
}

func TestLogHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := schedtest.New()
		p := s.Process("p")
		s.Name("0123", "T1")
		log := slog.New(schedtest.NewLogHandler())
		log.Warn("from nowhere")
		done := make(chan struct{})
		go func() {
			defer close(done)
			log.InfoContext(p.Context(t.Context()), "dropped")
			log.WarnContext(p.Context(t.Context()), "failed", "id", "0123", "error", "away")
		}()
		s.Pass(time.Hour)
		waiting := s.Waiting()
		if len(waiting) != 1 || waiting[0].String() != "p: goes on after: failed T1" || waiting[0].HasEffect() {
			t.Fatalf("waiting: %v", waiting)
		}
		s.Answer(waiting[0])
		<-done
	})
}
