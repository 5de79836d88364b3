package batch_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bankmore/bankmore/platform/batch"
)

// failure is an error with an extent.
type failure struct {
	error
	extent batch.Extent
}

func (f failure) Extent() batch.Extent { return f.extent }

var (
	errBad    = failure{errors.New("a bad input"), batch.OneInput}
	errLocked = failure{errors.New("a locked key"), batch.SameKey}
	errAway   = errors.New("away")
)

// order is an input: the n-th one of its key.
type order struct {
	key string
	n   int
}

func keyOf(o order) string { return o.key }

// desk is a Func. It fails a flight that has a bad input or a locked key; a locked key fails after impatience or, if the
// flight is patient, after patience. It records the inputs that it has done, by key, in order.
type desk struct {
	mu      sync.Mutex
	bad     map[order]error
	locked  map[string]bool
	done    map[string][]int
	flights int
}

const (
	impatience = 250 * time.Millisecond
	patience   = 3 * time.Second
)

func (d *desk) run(ctx context.Context, in []order) ([]int, error) {
	d.mu.Lock()
	d.flights++
	d.mu.Unlock()
	time.Sleep(time.Millisecond)
	for _, o := range in {
		d.mu.Lock()
		locked, bad := d.locked[o.key], d.bad[o]
		d.mu.Unlock()
		switch {
		case locked && batch.Patient(ctx):
			time.Sleep(patience)
			return nil, errLocked
		case locked:
			time.Sleep(impatience)
			return nil, errLocked
		case bad != nil:
			return nil, bad
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]int, len(in))
	for i, o := range in {
		out[i] = o.n
		d.done[o.key] = append(d.done[o.key], o.n)
	}
	return out, nil
}

func newDesk() *desk {
	return &desk{bad: map[order]error{}, locked: map[string]bool{}, done: map[string][]int{}}
}

// orders returns n orders of each key. The keys take turns.
func orders(keys, n int) (all []order) {
	for i := range n {
		for k := range keys {
			all = append(all, order{fmt.Sprint("key ", k), i})
		}
	}
	return all
}

// A bad input fails alone. The other inputs of its flight are done, and those of one key keep their order.
func TestOneBadInputFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		b := batch.NewDivisible(d.run, keyOf, batch.Options{})
		all := orders(16, 4)
		bad := []order{{"key 3", 1}, {"key 7", 0}, {"key 7", 3}}
		for _, o := range bad {
			d.bad[o] = errBad
		}
		began := time.Now()
		outs, errs := b.DoAll(t.Context(), all)
		for i, o := range all {
			if want := slices.Contains(bad, o); (errs[i] != nil) != want || (!want && outs[i] != o.n) {
				t.Errorf("%v: %d, %v", o, outs[i], errs[i])
			}
		}
		if got := d.done["key 3"]; !slices.Equal(got, []int{0, 2, 3}) {
			t.Errorf("key 3 has done %v", got)
		}
		if d.flights > 1+16+2*4 {
			t.Errorf("%d flights", d.flights)
		}
		if took := time.Since(began); took > 20*time.Millisecond {
			t.Errorf("took %v", took)
		}
		b.Close()
	})
}

// While another session has locked a key, inputs of other keys are done at once, whether they travel with the first call of
// that key or come later. Once the key is free, its calls are done as well.
func TestALockedKeyHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		b := batch.NewDivisible(d.run, keyOf, batch.Options{})
		d.locked["key 0"] = true
		var all sync.WaitGroup
		slowest := map[bool]time.Duration{}
		failed := 0
		var mu sync.Mutex
		for i := range 100 { // a call of each key every 100 ms, for 10 s
			for _, o := range orders(8, 1) {
				all.Go(func() {
					began := time.Now()
					_, err := b.Do(t.Context(), order{o.key, i})
					mu.Lock()
					defer mu.Unlock()
					own := o.key == "key 0"
					if err != nil {
						failed++
						if !own || !errors.Is(err, errLocked) {
							t.Errorf("%s: %v", o.key, err)
						}
					}
					slowest[own] = max(slowest[own], time.Since(began))
				})
			}
			time.Sleep(100 * time.Millisecond)
		}
		d.mu.Lock()
		d.locked["key 0"] = false
		d.mu.Unlock()
		time.Sleep(5 * time.Second)
		if _, err := b.Do(t.Context(), order{"key 0", 1000}); err != nil {
			t.Errorf("after the lock is gone: %v", err)
		}
		all.Wait()
		if slowest[false] > 2*impatience || slowest[true] > impatience+2*patience+10*time.Millisecond || failed == 0 {
			t.Errorf("slowest %v, %d failed", slowest, failed)
		}
		b.Close()
	})
}

// DoAll answers the other inputs of a call without waiting for the input with a locked key.
func TestInputsOfOneCallDoNotWaitForALockedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		b := batch.NewDivisible(d.run, keyOf, batch.Options{})
		d.locked["key 0"] = true
		for i := range 3 {
			began := time.Now()
			_, errs := b.DoAll(t.Context(), []order{{"key 0", i}, {"key 1", i}, {"key 2", i}})
			if !errors.Is(errs[0], batch.ErrStraggler) || errs[1] != nil || errs[2] != nil {
				t.Errorf("%d: %v", i, errs)
			}
			if took := time.Since(began); took > 2*impatience {
				t.Errorf("%d: took %v", i, took)
			}
		}
		b.Close()
	})
}

// DoAllBriefly gives up inputs that all wait for locked keys. DoAll waits for them.
func TestBriefCallsDoNotWaitForLockedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		b := batch.NewDivisible(d.run, keyOf, batch.Options{})
		d.locked["key 0"] = true
		began := time.Now()
		_, errs := b.DoAllBriefly(t.Context(), []order{{"key 0", 1}, {"key 0", 2}})
		if !errors.Is(errs[0], batch.ErrStraggler) || !errors.Is(errs[1], batch.ErrStraggler) {
			t.Errorf("%v", errs)
		}
		if took := time.Since(began); took > 2*impatience {
			t.Errorf("took %v", took)
		}
		if _, errs = b.DoAllBriefly(t.Context(), []order{{"key 1", 1}}); errs[0] != nil {
			t.Errorf("a free key: %v", errs)
		}
		began = time.Now()
		if _, errs = b.DoAll(t.Context(), []order{{"key 0", 3}}); errs[0] == nil || errors.Is(errs[0], batch.ErrStraggler) || time.Since(began) < patience {
			t.Errorf("DoAll: %v after %v", errs, time.Since(began))
		}
		b.Close()
	})
}

// When a key works again, its calls return to the line, although new ones keep coming. So brief calls get their answers, also if a
// flight takes longer than they wait for a lane.
func TestALaneEndsUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const flight = 120 * time.Millisecond // longer than straggling
		ctx, cancel := context.WithTimeout(t.Context(), 21*time.Second)
		defer cancel()
		var locked atomic.Bool
		var decided, answered atomic.Int64
		b := batch.NewDivisible(func(_ context.Context, in []order) ([]string, error) {
			time.Sleep(flight)
			if locked.Load() {
				return nil, errLocked
			}
			decided.Add(int64(len(in)))
			return make([]string, len(in)), nil
		}, keyOf, batch.Options{})
		locked.Store(true)
		time.AfterFunc(time.Second, func() { locked.Store(false) })
		var callers sync.WaitGroup
		for i := range 32 {
			callers.Go(func() {
				time.Sleep(time.Duration(i) * 7 * time.Millisecond) // so that some call always waits
				for ctx.Err() == nil {
					call, done := context.WithCancel(ctx)
					_, errs := b.DoAllBriefly(call, []order{{"hot", i}})
					done()
					if errs[0] == nil {
						answered.Add(1)
						continue
					}
					time.Sleep(50 * time.Millisecond)
				}
			})
		}
		callers.Wait()
		b.Close()
		if 10*answered.Load() < 9*decided.Load() || decided.Load() < 1000 {
			t.Errorf("%d decided, %d answered", decided.Load(), answered.Load())
		}
		if b.Apart("hot") {
			t.Error("the key still has a lane")
		}
	})
}

// Many locked keys delay the other inputs only until the batcher has found out that they are locked.
func TestManyLockedKeysHoldUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const locked, free = 32, 8
		d := newDesk()
		b := batch.NewDivisible(d.run, keyOf, batch.Options{})
		for _, o := range orders(locked, 1) {
			d.locked[o.key] = true
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		var slowest time.Duration
		for i := range 100 {
			for _, o := range orders(locked+free, 1) {
				all.Go(func() {
					began := time.Now()
					_, err := b.Do(t.Context(), order{o.key, i})
					mu.Lock()
					defer mu.Unlock()
					if !d.locked[o.key] {
						slowest = max(slowest, time.Since(began))
						if err != nil {
							t.Errorf("%s: %v", o.key, err)
						}
					}
				})
			}
			time.Sleep(100 * time.Millisecond)
		}
		all.Wait()
		if slowest > (1+locked/8)*impatience+20*time.Millisecond { // the flight on the line, then eight at a time
			t.Errorf("slowest %v", slowest)
		}
		b.Close()
	})
}

// After a failure of every input, the batcher does not try again.
func TestAFailureOfAllIsNotDivided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		b := batch.NewDivisible(d.run, keyOf, batch.Options{})
		d.bad[order{"key 1", 0}] = errAway
		_, errs := b.DoAll(t.Context(), orders(8, 1))
		for _, err := range errs {
			if !errors.Is(err, errAway) {
				t.Errorf("%v, want %v", err, errAway)
			}
		}
		if d.flights != 1 {
			t.Errorf("%d flights", d.flights)
		}
	})
}

// A panic fails only the input that causes it.
func TestAPanicFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batch.NewDivisible(func(_ context.Context, in []order) ([]int, error) {
			if slices.Contains(in, order{"key 2", 0}) {
				panic("a defect")
			}
			return make([]int, len(in)), nil
		}, keyOf, batch.Options{})
		_, errs := b.DoAll(t.Context(), orders(4, 1))
		for i, err := range errs {
			if (err != nil) != (i == 2) {
				t.Errorf("%d: %v", i, err)
			}
		}
	})
}

// A lane does not try the calls of callers that have given up.
func TestALaneSkipsCallersThatHaveGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		b := batch.NewDivisible(d.run, keyOf, batch.Options{})
		d.locked["key 0"] = true
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, _ = b.Do(ctx, order{"key 0", i}) // the outcome stays unknown
			})
			time.Sleep(time.Millisecond)
		}
		all.Wait()
		b.Close()
		if d.flights > 4 {
			t.Errorf("%d flights for callers that have gone", d.flights)
		}
		if len(slices.Collect(maps.Keys(d.done))) != 0 {
			t.Errorf("done: %v", d.done)
		}
	})
}

// When a flight fails, calls with its keys that wait on the line stay behind the calls of the flight.
func TestTheLineDoesNotOvertakeALane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		b := batch.NewDivisible(d.run, keyOf, batch.Options{MaxItems: 4})
		d.bad[order{"key 1", 0}] = errBad
		_, errs := b.DoAll(t.Context(), orders(2, 8))
		b.Close()
		if errs[1] == nil {
			t.Error("the bad input has not failed")
		}
		if got := d.done["key 0"]; !slices.Equal(got, []int{0, 1, 2, 3, 4, 5, 6, 7}) {
			t.Errorf("key 0 has done %v", got)
		}
		if got := d.done["key 1"]; !slices.Equal(got, []int{1, 2, 3, 4, 5, 6, 7}) {
			t.Errorf("key 1 has done %v", got)
		}
	})
}
