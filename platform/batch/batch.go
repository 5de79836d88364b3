// Package batch joins calls that arrive together into one: adaptive batching without a timer. A flight is one run of the
// function that does the work. While a flight is free, a call leaves at once, alone. Calls that arrive while all flights are
// under way wait in the line and leave together in the next flight. At low load this adds nothing; at high load the cost per
// call falls. Ledger commits, service invocations and state store access all use it.
//
// One bad call does not fail its neighbours. If a flight fails because of one of its inputs (the Extent of the error says
// so), its calls leave the line. They are tried again in smaller parts, until the bad input stands alone with its own error.
package batch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bankmore/bankmore/platform/fault"
)

// Func does the work of a batch: one output per input, in order, or an error for all of them.
// Its context carries the values of the batch's first call, is not cancelled by any caller, and ends after Options.Timeout.
//
// If it fails with an Extent other than Everything, the batcher passes the same inputs again in smaller batches. So such an
// error must mean that nothing has taken effect, or that the inputs may take effect a second time without harm.
type Func[In, Out any] func(ctx context.Context, in []In) ([]Out, error)

// Options bound a Batcher. The zero value of a field takes its default.
type Options struct {
	MaxItems   int           // items per flight; default 256
	MaxFlights int           // flights at once, not counting those of lanes; default 1
	MaxPending int           // calls waiting for a flight, beyond which Do refuses; default 16,384
	Timeout    time.Duration // of one flight; default 10 s
}

// Extent says how far the reason of a failure reaches.
type Extent int

// The extents. An error of a Func has the one that its Extent method returns, and else Everything.
const (
	Everything Extent = iota // every input would fail, or the outcome is unknown
	SameKey                  // every input with the same key would fail: for instance, another transaction has locked its row
	OneInput                 // one input is the reason, or two inputs that contradict each other
)

// ExtentOf reads the extent of an error from its chain. Without one, and without an error, it is Everything.
func ExtentOf(err error) Extent {
	var known interface{ Extent() Extent }
	if errors.As(err, &known) {
		return known.Extent()
	}
	return Everything
}

// Bounds of lanes.
const (
	maxLanes   = 8                      // flights of lanes at once that do not wait for a lock, and as many that do
	suspicion  = time.Second            // how long the new calls of a key that has failed go straight to its lane
	straggling = 100 * time.Millisecond // how long DoAll waits, after an answer, for inputs in lanes
)

// ErrOverloaded is the answer when MaxPending calls wait already. The call has had no effect.
var ErrOverloaded = fault.Away(errors.New("batch: too many calls waiting"))

// ErrClosed is the answer after Close. The call has had no effect.
var ErrClosed = fault.Away(errors.New("batch: closed"))

// ErrStraggler is DoAll's answer for an input that is still in a lane a while after the others have been answered. The
// outcome of that input is unknown.
var ErrStraggler = fault.Away(errors.New("batch: still waiting for a lock"))

// Batcher runs one Func for many callers.
type Batcher[In, Out any] struct {
	run  Func[In, Out]
	key  func(In) string // nil: a flight that fails fails whole
	opts Options

	mu      sync.Mutex
	pending []*call[In, Out]
	flights int
	lanes   map[string]*lane[In, Out] // by key
	apart   int                       // calls waiting in lanes
	closed  bool
	idle    sync.WaitGroup

	quick, patient chan struct{} // bound the flights of lanes: those that must not wait for a lock, and those that may
}

type call[In, Out any] struct {
	ctx     context.Context //nolint:containedctx // the first call of a batch lends its values to the flight
	in      In
	place   int         // among the inputs of its DoAll
	apart   atomic.Bool // it waits in a lane
	answers chan<- result[Out]
}

func (c *call[In, Out]) answer(out Out, err error) { c.answers <- result[Out]{c.place, out, err} }

type result[Out any] struct {
	place int
	out   Out
	err   error
}

// lane is the queue of one key, beside the line.
type lane[In, Out any] struct {
	pending   []*call[In, Out]
	flying    bool
	locked    bool      // a flight has met a lock: the next flights may wait for it, and count as patient
	suspected time.Time // until then new calls of this key join the lane, not the line
}

// New returns a Batcher over run. A flight that fails fails whole.
func New[In, Out any](run Func[In, Out], opts Options) *Batcher[In, Out] {
	return NewDivisible(run, nil, opts)
}

// NewDivisible returns a Batcher over run whose flights are divided when they fail. key names what an input needs alone,
// such as the row that it changes. Inputs of one key keep their order.
func NewDivisible[In, Out any](run Func[In, Out], key func(In) string, opts Options) *Batcher[In, Out] {
	if opts.MaxItems == 0 {
		opts.MaxItems = 256
	}
	if opts.MaxFlights == 0 {
		opts.MaxFlights = 1
	}
	if opts.MaxPending == 0 {
		opts.MaxPending = 16384
	}
	if opts.Timeout == 0 {
		opts.Timeout = 10 * time.Second
	}
	return &Batcher[In, Out]{run: run, key: key, opts: opts, lanes: map[string]*lane[In, Out]{},
		quick: make(chan struct{}, maxLanes), patient: make(chan struct{}, maxLanes)}
}

// Do adds in to the next flight and waits for its own output. If ctx ends first, Do returns its error and the outcome
// is unknown: the flight goes on. If ctx has ended before, nothing is sent.
func (b *Batcher[In, Out]) Do(ctx context.Context, in In) (Out, error) {
	outs, errs := b.DoAll(ctx, []In{in})
	return outs[0], errs[0]
}

// DoAll is Do for several inputs. Inputs of the same key keep their order. Each input has its own output or error. When only
// inputs in lanes are left, DoAll waits 100 ms for the next answer, and then returns ErrStraggler for them.
func (b *Batcher[In, Out]) DoAll(ctx context.Context, in []In) ([]Out, []error) {
	outs, errs := make([]Out, len(in)), make([]error, len(in))
	if len(in) == 0 {
		return outs, errs
	}
	failure := ctx.Err()
	answers := make(chan result[Out], len(in))
	missing := make(map[int]*call[In, Out], len(in))
	if failure == nil {
		calls := make([]*call[In, Out], len(in))
		for i := range in {
			calls[i] = &call[In, Out]{ctx: ctx, in: in[i], place: i, answers: answers}
			missing[i] = calls[i]
		}
		failure = b.enqueue(calls)
	}
	var late <-chan time.Time // nil until an input has been answered
	for len(missing) > 0 && failure == nil {
		select {
		case r := <-answers:
			outs[r.place], errs[r.place] = r.out, r.err
			delete(missing, r.place)
			if len(missing) > 0 {
				late = time.After(straggling)
			}
		case <-late:
			if failure = ErrStraggler; !allApart(missing) {
				failure, late = nil, time.After(straggling)
			}
		case <-ctx.Done():
			failure = ctx.Err()
		}
	}
	for i := range in {
		if failure != nil && (len(missing) == 0 || missing[i] != nil) {
			errs[i] = failure
		}
	}
	return outs, errs
}

func allApart[In, Out any](calls map[int]*call[In, Out]) bool {
	for _, c := range calls {
		if !c.apart.Load() {
			return false
		}
	}
	return true
}

// Close refuses new calls and waits until those already accepted have been answered.
func (b *Batcher[In, Out]) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.idle.Wait()
}

func (b *Batcher[In, Out]) enqueue(calls []*call[In, Out]) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return ErrClosed
	case len(b.pending)+b.apart+len(calls) > b.opts.MaxPending:
		return ErrOverloaded
	}
	joined := 0
	for _, c := range calls {
		if b.joinLane(c) {
			continue
		}
		b.pending = append(b.pending, c)
		if joined%b.opts.MaxItems == 0 && b.flights < b.opts.MaxFlights {
			b.flights++
			b.idle.Add(1)
			go b.fly()
		}
		joined++
	}
	return nil
}

// fly takes batches until none is left.
func (b *Batcher[In, Out]) fly() {
	defer b.idle.Done()
	for {
		calls := b.take()
		if calls == nil {
			return
		}
		out, err := b.attempt(context.WithValue(calls[0].ctx, onTheLine{}, true), calls)
		extent := ExtentOf(err)
		if b.key != nil && (extent == SameKey || extent == OneInput && len(calls) > 1) {
			b.setApart(calls) // the line goes on without them
			continue
		}
		answer(calls, out, err)
	}
}

// onTheLine marks the context of a flight that must not wait for a lock, since other calls wait behind it.
type onTheLine struct{}

// Patient reports whether a Func may wait for a lock. It may not while calls with other keys wait behind its flight: there
// it fails with SameKey instead. The batcher then tries the inputs again by key, and in the end lets the Func wait.
func Patient(ctx context.Context) bool { return ctx.Value(onTheLine{}) == nil }

func (b *Batcher[In, Out]) take() []*call[In, Out] {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.pending), b.opts.MaxItems)
	if n == 0 {
		b.pending = nil
		b.flights--
		return nil
	}
	calls := b.pending[:n:n]
	b.pending = b.pending[n:]
	return calls
}

// joinLane puts a call into the lane of its key, if the key has one, and reports whether it did. The caller holds mu.
func (b *Batcher[In, Out]) joinLane(c *call[In, Out]) bool {
	if len(b.lanes) == 0 {
		return false
	}
	l := b.lanes[b.key(c.in)]
	if l == nil || (!l.flying && !time.Now().Before(l.suspected)) {
		return false
	}
	b.append(l, c)
	return true
}

// setApart moves the calls of a flight that failed to the lanes of their keys. Calls on the line with one of these keys
// follow, so that no call overtakes an earlier one of its key.
func (b *Batcher[In, Out]) setApart(calls []*call[In, Out]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range calls {
		key := b.key(c.in)
		l := b.lanes[key]
		if l == nil {
			l = &lane[In, Out]{}
			b.lanes[key] = l
		}
		b.append(l, c)
	}
	b.pending = slices.DeleteFunc(b.pending, b.joinLane)
}

func (b *Batcher[In, Out]) append(l *lane[In, Out], c *call[In, Out]) {
	c.apart.Store(true)
	l.pending = append(l.pending, c)
	b.apart++
	if !l.flying {
		l.flying = true
		b.idle.Add(1)
		go b.flyApart(l)
	}
}

// flyApart runs flights of a lane until no call waits in it.
func (b *Batcher[In, Out]) flyApart(l *lane[In, Out]) {
	defer b.idle.Done()
	for {
		tickets := b.quick
		if l.locked {
			tickets = b.patient
		}
		tickets <- struct{}{}
		calls := b.takeApart(l)
		if calls == nil {
			<-tickets
			return
		}
		failed, locked := b.divide(calls, l.locked)
		<-tickets
		if failed {
			b.suspect(l, locked)
		}
	}
}

// takeApart takes up to MaxItems calls from a lane. A call whose context has ended gets the context's error instead. If no
// call is left, takeApart ends the lane.
func (b *Batcher[In, Out]) takeApart(l *lane[In, Out]) (calls []*call[In, Out]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(l.pending) > 0 && len(calls) < b.opts.MaxItems {
		c := l.pending[0]
		l.pending = l.pending[1:]
		b.apart--
		if err := c.ctx.Err(); err != nil {
			var none Out
			c.answer(none, err)
			continue
		}
		calls = append(calls, c)
	}
	if calls == nil {
		l.pending, l.flying = nil, false
		b.forget()
	}
	return calls
}

// forget drops the lanes that are idle and no longer suspected, so that they do not pile up.
func (b *Batcher[In, Out]) forget() {
	now := time.Now()
	for key, l := range b.lanes {
		if !l.flying && !now.Before(l.suspected) {
			delete(b.lanes, key)
		}
	}
}

// suspect keeps a lane for the next calls of its key. Calls that have met a lock go to its head, to wait for the lock.
func (b *Batcher[In, Out]) suspect(l *lane[In, Out], locked []*call[In, Out]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l.suspected = time.Now().Add(suspicion)
	if len(locked) > 0 {
		l.locked = true
		l.pending = append(slices.Clone(locked), l.pending...)
		b.apart += len(locked)
	}
}

// divide answers calls of one key. It tries them together, and one by one if the failure lies in one of them. It reports
// whether a call has failed for a reason of its own or of its key: then the key's next calls should stay in the lane.
// If patient is false and a call meets a lock, divide returns that call and all after it without an answer.
func (b *Batcher[In, Out]) divide(calls []*call[In, Out], patient bool) (failed bool, locked []*call[In, Out]) {
	values := calls[0].ctx
	if !patient {
		values = context.WithValue(values, onTheLine{}, true)
	}
	out, err := b.attempt(values, calls)
	switch extent := ExtentOf(err); {
	case extent == SameKey && !patient:
		return true, calls
	case len(calls) == 1 || extent != OneInput:
		answer(calls, out, err)
		return extent != Everything, nil
	}
	for i := range calls {
		own, met := b.divide(calls[i:i+1], patient)
		if met != nil {
			return true, calls[i:]
		}
		failed = own || failed
	}
	return failed, nil
}

func answer[In, Out any](calls []*call[In, Out], out []Out, err error) {
	for i, c := range calls {
		var own Out
		if err == nil {
			own = out[i]
		}
		c.answer(own, err)
	}
}

func (b *Batcher[In, Out]) attempt(values context.Context, calls []*call[In, Out]) ([]Out, error) {
	in := make([]In, len(calls))
	for i, c := range calls {
		in[i] = c.in
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(values), b.opts.Timeout)
	defer cancel()
	return b.guarded(ctx, in)
}

// guarded turns a panic or a miscounted answer into an error, so that no caller waits for ever.
func (b *Batcher[In, Out]) guarded(ctx context.Context, in []In) (out []Out, err error) {
	defer func() {
		if p := recover(); p != nil {
			slog.ErrorContext(ctx, "batch: panic", "panic", p, "stack", string(debug.Stack())) // once, not per caller
			err = panicked{fmt.Errorf("batch: panic: %v", p)}
		}
	}()
	out, err = b.run(ctx, in)
	if err == nil && len(out) != len(in) {
		err = fmt.Errorf("batch: %d outputs for %d inputs", len(out), len(in))
	}
	return out, err
}

// panicked is a panic of a Func. One input is usually the reason.
type panicked struct{ error }

// Extent of the failure.
func (panicked) Extent() Extent { return OneInput }
