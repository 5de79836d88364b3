package batch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/telemetry/telemetrytest"
)

// gate is a Func whose flights end when the test says so. It answers each number with its double.
type gate struct {
	mu      sync.Mutex
	flights [][]int
	land    chan struct{}
}

func newGate() *gate { return &gate{land: make(chan struct{})} }

func (g *gate) run(_ context.Context, in []int) ([]int, error) {
	g.mu.Lock()
	g.flights = append(g.flights, slices.Clone(in))
	g.mu.Unlock()
	<-g.land
	out := make([]int, len(in))
	for i, n := range in {
		out[i] = 2 * n
	}
	return out, nil
}

func (g *gate) started() [][]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.flights)
}

// start calls Do for each number, one after the other, and returns once all calls wait.
func start(t *testing.T, b *batch.Batcher[int, int], answered *sync.WaitGroup, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		answered.Go(func() {
			if got, err := b.Do(t.Context(), n); err != nil || got != 2*n {
				t.Errorf("Do(%d) = %d, %v", n, got, err)
			}
		})
		synctest.Wait()
	}
}

func TestLoneCallLeavesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		b := batch.New(func(_ context.Context, in []int) ([]int, error) { return in, nil }, batch.Options{})
		for n := range 3 {
			if got, err := b.Do(t.Context(), n); got != n || err != nil {
				t.Fatalf("Do(%d) = %d, %v", n, got, err)
			}
		}
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("lone calls waited %v", waited)
		}
	})
}

func TestCallsDuringAFlightLeaveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, answered := newGate(), new(sync.WaitGroup)
		b := batch.New(g.run, batch.Options{})
		start(t, b, answered, 1, 2, 3, 4)
		if diff := cmp.Diff([][]int{{1}}, g.started()); diff != "" {
			t.Errorf("before landing (-want +got):\n%s", diff)
		}
		g.land <- struct{}{}
		synctest.Wait()
		if diff := cmp.Diff([][]int{{1}, {2, 3, 4}}, g.started()); diff != "" {
			t.Errorf("after landing (-want +got):\n%s", diff)
		}
		g.land <- struct{}{}
		answered.Wait()
	})
}

func TestSizesAreMeasured(t *testing.T) {
	measured := func() float64 { return telemetrytest.Value(t, "bankmore_batch_items", "letters") }
	before := measured()
	b := batch.New(func(_ context.Context, in []int) ([]int, error) { return in, nil }, batch.Options{Name: "letters"})
	if _, err := b.Do(t.Context(), 1); err != nil || measured() != before+1 {
		t.Errorf("%v, %v flights measured, want 1", err, measured()-before)
	}
}

func TestMaxItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, answered := newGate(), new(sync.WaitGroup)
		b := batch.New(g.run, batch.Options{MaxItems: 2})
		start(t, b, answered, 1, 2, 3, 4, 5, 6)
		close(g.land)
		answered.Wait()
		if diff := cmp.Diff([][]int{{1}, {2, 3}, {4, 5}, {6}}, g.started()); diff != "" {
			t.Errorf("flights (-want +got):\n%s", diff)
		}
	})
}

func TestMaxFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, answered := newGate(), new(sync.WaitGroup)
		b := batch.New(g.run, batch.Options{MaxFlights: 2})
		start(t, b, answered, 1, 2, 3, 4)
		if diff := cmp.Diff([][]int{{1}, {2}}, g.started()); diff != "" {
			t.Errorf("before landing (-want +got):\n%s", diff)
		}
		g.land <- struct{}{}
		synctest.Wait()
		if diff := cmp.Diff([][]int{{1}, {2}, {3, 4}}, g.started()); diff != "" {
			t.Errorf("after landing (-want +got):\n%s", diff)
		}
		close(g.land)
		answered.Wait()
	})
}

// A flight keeps another from leaving beside it for Hold, unless the other is full. A flight that hangs keeps nobody longer.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answered := new(sync.WaitGroup)
		var mu sync.Mutex
		var flown [][]int
		hang := make(chan struct{})
		const hold = 20 * time.Millisecond
		b := batch.New(func(_ context.Context, in []int) ([]int, error) {
			mu.Lock()
			flown = append(flown, slices.Clone(in))
			mu.Unlock()
			if in[0] == 1 {
				<-hang
			}
			time.Sleep(hold / 4)
			out := make([]int, len(in))
			for i, n := range in {
				out[i] = 2 * n
			}
			return out, nil
		}, batch.Options{MaxFlights: 2, MaxItems: 3, Hold: hold})
		var want [][]int
		expect := func(when string, more ...[]int) {
			t.Helper()
			synctest.Wait()
			want = append(want, more...)
			mu.Lock()
			defer mu.Unlock()
			if diff := cmp.Diff(want, flown); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		start(t, b, answered, 1)
		expect("nothing is under way", []int{1})
		time.Sleep(hold / 2)
		start(t, b, answered, 2)
		time.Sleep(hold/2 - time.Nanosecond)
		expect("the first flight is younger than Hold")
		time.Sleep(time.Nanosecond)
		expect("it is as old as Hold", []int{2})
		time.Sleep(hold)
		start(t, b, answered, 3)
		expect("only the flight that hangs is under way", []int{3})
		start(t, b, answered, 4, 5)
		expect("the flight with 3 is under way, too")
		time.Sleep(hold / 4)
		expect("the flight with 3 has landed", []int{4, 5})
		time.Sleep(hold)
		close(hang)
		answered.Wait()

		start(t, b, answered, 6, 7, 8, 9)
		expect("three calls wait, which fill a flight", []int{6}, []int{7, 8, 9})
		answered.Wait()
		answered.Go(func() {
			if _, errs := b.DoAll(t.Context(), []int{11, 12, 13, 14, 15, 16}); slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
				t.Error(errs)
			}
		})
		expect("one caller fills two flights", []int{11, 12, 13}, []int{14, 15, 16})
		answered.Wait()
	})
}

func TestMaxPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, answered := newGate(), new(sync.WaitGroup)
		b := batch.New(g.run, batch.Options{MaxPending: 2})
		start(t, b, answered, 1, 2, 3)
		_, err := b.Do(t.Context(), 4)
		if !errors.Is(err, batch.ErrOverloaded) || fault.From(err).Kind != fault.Unavailable {
			t.Errorf("fourth call: %v, want ErrOverloaded", err)
		}
		close(g.land)
		answered.Wait()
		if diff := cmp.Diff([][]int{{1}, {2, 3}}, g.started()); diff != "" {
			t.Errorf("the refused call left all the same (-want +got):\n%s", diff)
		}
		if _, err := b.Do(t.Context(), 5); err != nil {
			t.Errorf("after the queue has emptied: %v", err)
		}
	})
}

func TestCallerWhoGivesUpDoesNotEndTheFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var flightErr error
		var value any
		begin := time.Now()
		b := batch.New(func(ctx context.Context, in []int) ([]int, error) {
			time.Sleep(time.Second)
			flightErr, value = ctx.Err(), ctx.Value(key{})
			return in, nil
		}, batch.Options{})
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "trace"))
		time.AfterFunc(time.Millisecond, cancel)
		if _, err := b.Do(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("Do = %v, want context.Canceled", err)
		}
		if waited := time.Since(begin); waited != time.Millisecond {
			t.Errorf("Do waited %v for a flight that its caller had left", waited)
		}
		b.Close()
		if took := time.Since(begin); took != time.Second || flightErr != nil {
			t.Errorf("flight ended after %v, its context: %v", took, flightErr)
		}
		if value != "trace" {
			t.Errorf("flight's context carries %v, want the first call's values", value)
		}
	})
}

func TestEndedContextSendsNothing(t *testing.T) {
	b := batch.New(func(_ context.Context, in []int) ([]int, error) {
		t.Error("a flight for nobody")
		return in, nil
	}, batch.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Do(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Do = %v, want context.Canceled", err)
	}
	b.Close()
}

func TestFlightTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batch.New(func(ctx context.Context, _ []int) ([]int, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, batch.Options{Timeout: 3 * time.Second})
		begin := time.Now()
		_, err := b.Do(t.Context(), 1)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Errorf("Do = %v after %v, want a deadline error after 3s", err, time.Since(begin))
		}
	})
}

func TestFailureReachesEveryCaller(t *testing.T) {
	away := errors.New("away")
	for name, test := range map[string]struct {
		run  batch.Func[int, int]
		want string
	}{
		"error":    {func(context.Context, []int) ([]int, error) { return nil, away }, "away"},
		"panic":    {func(context.Context, []int) ([]int, error) { panic("boom") }, "batch: panic: boom"},
		"too few":  {func(_ context.Context, in []int) ([]int, error) { return in[1:], nil }, "outputs for"},
		"too many": {func(_ context.Context, in []int) ([]int, error) { return append(in, 0), nil }, "outputs for"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, answered := true, new(sync.WaitGroup)
				b := batch.New(func(ctx context.Context, in []int) ([]int, error) {
					if first {
						first = false
						time.Sleep(time.Second)
					}
					return test.run(ctx, in)
				}, batch.Options{})
				for n := range 4 {
					answered.Go(func() {
						if _, err := b.Do(t.Context(), n); err == nil || !strings.Contains(err.Error(), test.want) {
							t.Errorf("Do = %v, want %q", err, test.want)
						}
					})
				}
				answered.Wait()
				b.Close() // would hang if the flight had not ended in order
			})
		})
	}
}

func TestFailedFlightLeavesNoTrace(t *testing.T) {
	fail := true
	b := batch.New(func(_ context.Context, in []int) ([]int, error) {
		if fail {
			panic("once")
		}
		return in, nil
	}, batch.Options{})
	if _, err := b.Do(t.Context(), 1); err == nil {
		t.Fatal("want an error")
	}
	fail = false
	if got, err := b.Do(t.Context(), 2); got != 2 || err != nil {
		t.Errorf("the flight after a panic: %d, %v", got, err)
	}
}

func TestCloseDrainsAndRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, answered := newGate(), new(sync.WaitGroup)
		b := batch.New(g.run, batch.Options{})
		start(t, b, answered, 1, 2)
		closed := false
		go func() { b.Close(); closed = true }()
		synctest.Wait()
		if closed {
			t.Error("Close returned with calls waiting")
		}
		if _, err := b.Do(t.Context(), 3); !errors.Is(err, batch.ErrClosed) {
			t.Errorf("Do after Close = %v, want ErrClosed", err)
		}
		close(g.land)
		answered.Wait()
		synctest.Wait()
		if !closed {
			t.Error("Close did not return after the last answer")
		}
		if diff := cmp.Diff([][]int{{1}, {2}}, g.started()); diff != "" {
			t.Errorf("flights (-want +got):\n%s", diff)
		}
	})
}

// Each of many callers gets the answer to its own question, once, within the bounds.
func TestManyCallers(t *testing.T) {
	const callers, calls, maxItems, maxFlights = 1000, 20, 64, 3
	var inAir, most, largest, done atomic.Int64
	raise := func(max *atomic.Int64, n int64) {
		for m := max.Load(); n > m && !max.CompareAndSwap(m, n); m = max.Load() {
		}
	}
	b := batch.New(func(_ context.Context, in []string) ([]string, error) {
		raise(&most, inAir.Add(1))
		defer inAir.Add(-1)
		raise(&largest, int64(len(in)))
		done.Add(int64(len(in)))
		out := make([]string, len(in))
		for i, s := range in {
			out[i] = "answer to " + s
		}
		return out, nil
	}, batch.Options{MaxItems: maxItems, MaxFlights: maxFlights})
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for call := range calls {
				in := fmt.Sprint(caller, "/", call)
				if out, err := b.Do(t.Context(), in); err != nil || out != "answer to "+in {
					t.Errorf("Do(%s) = %q, %v", in, out, err)
				}
			}
		})
	}
	all.Wait()
	b.Close()
	if done.Load() != callers*calls {
		t.Errorf("%d items flew, want %d", done.Load(), callers*calls)
	}
	if most.Load() > maxFlights || largest.Load() > maxItems {
		t.Errorf("%d flights at once, %d items in one", most.Load(), largest.Load())
	}
}
