package service_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bankmore/bankmore/platform/service"
)

const interval = 10 * time.Second

func run(ctx context.Context, name string, bell service.Bell, round service.Round) {
	service.Worker{Name: name, Interval: interval, Bell: bell, Round: round}.Run(ctx)
}

// rounds runs a worker in a synctest bubble. The worker's rounds return what step returns. rounds lets the test drive the
// worker, stops it, and returns the seconds at which rounds began.
func rounds(t *testing.T, step func(n int) (bool, error), drive func(bell service.Bell)) (seconds []float64) {
	t.Helper()
	before := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	defer slog.SetDefault(before)
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		ctx, stop := context.WithCancel(t.Context())
		bell, ended := service.NewBell(), make(chan struct{})
		go func() {
			defer close(ended)
			run(ctx, "test", bell, func(context.Context) (bool, error) {
				seconds = append(seconds, time.Since(begin).Seconds())
				return step(len(seconds))
			})
		}()
		drive(bell)
		stop()
		<-ended
	})
	return seconds
}

func idle(int) (bool, error) { return false, nil }

func expect(t *testing.T, got []float64, want ...float64) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rounds began at these seconds (-want +got):\n%s", diff)
	}
}

func TestAtOnceAndEveryInterval(t *testing.T) {
	expect(t, rounds(t, idle, func(service.Bell) { time.Sleep(25 * time.Second) }), 0, 10, 20)
}

func TestBellWakes(t *testing.T) {
	got := rounds(t, idle, func(bell service.Bell) {
		time.Sleep(3 * time.Second)
		bell.Ring()
		time.Sleep(9 * time.Second) // the interval begins anew with the round
		bell.Ring()
		time.Sleep(11 * time.Second)
	})
	expect(t, got, 0, 3, 12, 22)
}

// Rings during a round are not lost, since the round may have missed their reason. All of them together make one round.
func TestRingsDuringARound(t *testing.T) {
	got := rounds(t, func(n int) (bool, error) {
		if n == 1 {
			time.Sleep(2 * time.Second)
		}
		return false, nil
	}, func(bell service.Bell) {
		time.Sleep(time.Second)
		for range 100 {
			bell.Ring() // never blocks
		}
		time.Sleep(5 * time.Second)
	})
	expect(t, got, 0, 2)
}

func TestMoreFollowsAtOnce(t *testing.T) {
	got := rounds(t, func(n int) (bool, error) { return n < 4, nil }, func(service.Bell) { time.Sleep(11 * time.Second) })
	expect(t, got, 0, 0, 0, 0, 10)
}

// A worker that gathers begins its round that long after the first ring. All rings until then make one round. While there is
// more, rounds follow without a pause. The first round and those after an interval do not gather.
func TestRingsGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		ctx, stop := context.WithCancel(t.Context())
		bell, ended := service.NewBell(), make(chan struct{})
		var seconds []float64
		worker := service.Worker{Name: "test", Interval: interval, Bell: bell, Gather: time.Second, Round: func(context.Context) (bool, error) {
			seconds = append(seconds, time.Since(begin).Seconds())
			return len(seconds) == 2 || len(seconds) == 3, nil
		}}
		go func() {
			defer close(ended)
			worker.Run(ctx)
		}()
		time.Sleep(2 * time.Second)
		for range 9 { // the first eight within the time of gathering, the last after it
			bell.Ring()
			time.Sleep(120 * time.Millisecond)
		}
		bell.Ring()
		time.Sleep(12 * time.Second)
		bell.Ring()
		time.Sleep(500 * time.Millisecond)
		stop() // while the worker gathers
		<-ended
		expect(t, seconds, 0, 3, 3, 3, 4.08, 14.08)
	})
}

// After an error the next round waits for the interval, even if the bell rings or more work is waiting.
func TestErrorWaitsForTheInterval(t *testing.T) {
	got := rounds(t, func(n int) (bool, error) {
		if n <= 2 {
			return true, errors.New("away")
		}
		return false, nil
	}, func(bell service.Bell) {
		time.Sleep(500 * time.Millisecond) // never at the same moment as the interval
		for range 23 {
			time.Sleep(time.Second)
			bell.Ring()
		}
		synctest.Wait()
	})
	want := []float64{0, 10, 20, 20, 20.5, 21.5, 22.5, 23.5} // at 20 a round succeeds, and the ring that was ignored counts
	expect(t, got, want...)
}

func TestStopEndsTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		n := 0
		run(ctx, "test", nil, func(context.Context) (bool, error) { // without a bell, and always busy
			if n++; n == 3 {
				stop()
			}
			return true, nil
		})
		if n != 3 {
			t.Errorf("%d rounds, want 3: none after the stop", n)
		}
	})
}

func TestErrorsAreLoggedUnlessTheWorkerStops(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	out := new(log)
	slog.SetDefault(slog.New(slog.NewTextHandler(out, nil)))
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		n := 0
		run(ctx, "counter", nil, func(ctx context.Context) (bool, error) {
			if n++; n == 2 {
				stop()
				return false, ctx.Err()
			}
			return false, errors.New("away")
		})
	})
	if len(out.lines) != 1 || !strings.Contains(out.lines[0], "worker=counter") || !strings.Contains(out.lines[0], "error=away") {
		t.Errorf("logged %q, want one line about the first error", out.lines)
	}
	if n := failures(t, "counter"); n != 1 {
		t.Errorf("counted %v, want the first error", n)
	}
}

// failures returns bankmore_worker_failures_total of a worker.
func failures(t *testing.T, name string) float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "bankmore_worker_failures_total" && m.GetLabel()[0].GetValue() == name {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no bankmore_worker_failures_total of %s", name)
	return 0
}

type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

// A round that gets no answer ends when its context ends, and the next round follows.
func TestRoundIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		ctx, stop := context.WithCancel(t.Context())
		var seconds []float64
		run(ctx, "test", nil, func(ctx context.Context) (bool, error) {
			if seconds = append(seconds, time.Since(begin).Seconds()); len(seconds) == 3 {
				stop()
			}
			<-ctx.Done()
			return true, ctx.Err()
		})
		expect(t, seconds, 0, 70, 140)
	})
}
