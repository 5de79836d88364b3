// Package batch joins calls that arrive together into one: adaptive batching. A flight is one run of the function that does the
// work. If no flight is under way, a call leaves at once, alone. Calls that arrive while all flights are under way wait in the
// line and leave together in the next flight. At low load this adds nothing; at high load the cost per call falls. Commits,
// service invocations, and access to the state store and to Redis all use it.
//
// One bad call does not fail its neighbours. If a flight fails because of one of its inputs (the Extent of the error says
// so), its calls leave the line. They are tried again in smaller parts, until the bad input stands alone with its own error.
package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/telemetry"
)

// Func does the work of a batch: one output per input, in order, or an error for all of them.
// Its context carries the values of the batch's first call, is not cancelled by any caller, and ends after Options.Timeout. If spans
// are recorded, it has one of Options.Name, which is part of the trace of the first call that has one, and linked with the others'.
//
// If it fails with an Extent other than Everything, the batcher passes the same inputs again in smaller batches. So such an
// error must mean that nothing has taken effect, or that the inputs may take effect a second time without harm.
type Func[In, Out any] func(ctx context.Context, in []In) ([]Out, error)

// Options bound a Batcher. The zero value of a field takes its default.
type Options struct {
	Name       string        // of the flights, in spans and metrics; default "batch"
	MaxItems   int           // items per flight; default 256
	MaxFlights int           // flights at once, not counting those of lanes; default 1
	MaxPending int           // calls waiting for a flight, beyond which Do refuses; default 16,384
	Timeout    time.Duration // of one flight; default 10 s
	// Hold is for how long a flight keeps another from leaving beside it, unless the other would be full. The default, 0, keeps
	// none. With Hold, flights are few and carry many calls, and a flight that hangs still does not stop the others.
	Hold time.Duration
}

var items = promauto.NewHistogramVec(prometheus.HistogramOpts{
	Name: "bankmore_batch_items", Help: "Items that travelled together, by what they are (batch).",
	Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024},
}, []string{"batch"})

// Observe measures how many items have travelled together, for those who do not use a Batcher.
func Observe(name string, n int) { items.WithLabelValues(name).Observe(float64(n)) }

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

// ErrOverloaded is the answer when MaxPending calls wait already. The call has had no effect.
var ErrOverloaded = fault.Away(errors.New("batch: too many calls waiting"))

// ErrClosed is the answer after Close. The call has had no effect.
var ErrClosed = fault.Away(errors.New("batch: closed"))

// ErrStraggler is DoAll's answer for an input that is still in a lane a while after the others have been answered, and
// DoAllBriefly's also if none has been. The outcome of that input is unknown.
var ErrStraggler = fault.Away(errors.New("batch: still waiting for a lock"))

// Batcher runs one Func for many callers.
type Batcher[In, Out any] struct {
	run  Func[In, Out]
	key  func(In) string // nil: a flight that fails fails whole
	opts Options

	mu      sync.Mutex
	pending []*call[In, Out]
	flights map[*flight]struct{}      // under way
	holding bool                      // a timer for Hold runs
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

// New returns a Batcher over run. A flight that fails fails whole.
func New[In, Out any](run Func[In, Out], opts Options) *Batcher[In, Out] {
	return NewDivisible(run, nil, opts)
}

// NewDivisible returns a Batcher over run whose flights are divided when they fail. key names what an input needs alone,
// such as the row that it changes. If MaxFlights is 1, inputs of one key keep their order.
func NewDivisible[In, Out any](run Func[In, Out], key func(In) string, opts Options) *Batcher[In, Out] {
	opts.Name = cmp.Or(opts.Name, "batch")
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
	return &Batcher[In, Out]{run: run, key: key, opts: opts, lanes: map[string]*lane[In, Out]{}, flights: map[*flight]struct{}{},
		quick: make(chan struct{}, maxLanes), patient: make(chan struct{}, maxLanes)}
}

// Do adds in to the next flight and waits for its own output. If ctx ends first, Do returns its error and the outcome
// is unknown: the flight goes on. If ctx has ended before, nothing is sent.
func (b *Batcher[In, Out]) Do(ctx context.Context, in In) (Out, error) {
	outs, errs := b.DoAll(ctx, []In{in})
	return outs[0], errs[0]
}

// DoAll is Do for several inputs. Each input has its own output or error. When only inputs in lanes are left, DoAll waits 100 ms
// for the next answer, and then returns ErrStraggler for them.
func (b *Batcher[In, Out]) DoAll(ctx context.Context, in []In) ([]Out, []error) {
	return b.doAll(ctx, in, nil)
}

// DoAllBriefly is DoAll for a caller that must not wait long, since others wait behind it. It returns ErrStraggler also if all
// inputs are in lanes and none has been answered after 100 ms.
func (b *Batcher[In, Out]) DoAllBriefly(ctx context.Context, in []In) ([]Out, []error) {
	return b.doAll(ctx, in, time.After(straggling))
}

// doAll waits for answers until late, and from the first answer on until straggling after each.
func (b *Batcher[In, Out]) doAll(ctx context.Context, in []In, late <-chan time.Time) ([]Out, []error) {
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
		if joined++; joined%b.opts.MaxItems == 0 {
			b.leave()
		}
	}
	b.leave()
	return nil
}

// flight is one of those under way.
type flight struct {
	left time.Time // when it last took calls from the line
}

// leave starts a flight for the calls on the line, if one is free. If Hold forbids it, leave sets a timer for it. The caller
// holds mu.
func (b *Batcher[In, Out]) leave() {
	if len(b.pending) == 0 || len(b.flights) == b.opts.MaxFlights {
		return
	}
	var youngest time.Time
	for f := range b.flights {
		if f.left.After(youngest) {
			youngest = f.left
		}
	}
	wait := time.Until(youngest.Add(b.opts.Hold))
	if len(b.flights) > 0 && wait > 0 && len(b.pending) < b.opts.MaxItems {
		b.leaveAfter(wait)
		return
	}
	f := &flight{time.Now()}
	b.flights[f] = struct{}{}
	b.idle.Add(1)
	go b.fly(f)
}

// leaveAfter calls leave again later, once however often it is called. The caller holds mu. When the timer fires, the batcher may be
// closed and idle: then nothing is pending.
func (b *Batcher[In, Out]) leaveAfter(wait time.Duration) {
	if b.holding {
		return
	}
	b.holding = true
	time.AfterFunc(wait, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.holding = false
		b.leave()
	})
}

// fly takes batches until none is left.
func (b *Batcher[In, Out]) fly(f *flight) {
	defer b.idle.Done()
	for {
		calls := b.take(f)
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

func (b *Batcher[In, Out]) take(f *flight) []*call[In, Out] {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.pending), b.opts.MaxItems)
	if n == 0 {
		b.pending = nil
		delete(b.flights, f)
		return nil
	}
	calls := b.pending[:n:n]
	b.pending = b.pending[n:]
	f.left = time.Now()
	return calls
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
	if !telemetry.Tracing() {
		return b.guarded(ctx, in)
	}
	ctx, span := b.trace(ctx, calls)
	out, err := b.guarded(ctx, in)
	telemetry.End(span, err)
	return out, err
}

// trace starts the span of a flight. The span and those of the calls link to each other, so that each call's trace shows where its
// work was done.
func (b *Batcher[In, Out]) trace(ctx context.Context, calls []*call[In, Out]) (context.Context, trace.Span) {
	callers := make([]trace.SpanContext, len(calls))
	for i, c := range calls {
		callers[i] = trace.SpanContextFromContext(c.ctx)
	}
	ctx, span := telemetry.Joint(ctx, b.opts.Name, callers, trace.WithAttributes(attribute.Int("batch.items", len(calls))))
	if !span.IsRecording() {
		return ctx, span
	}
	linked := map[trace.SpanID]bool{}
	for i, c := range calls {
		if caller := callers[i]; caller.TraceID() != span.SpanContext().TraceID() && !linked[caller.SpanID()] {
			linked[caller.SpanID()] = true
			trace.SpanFromContext(c.ctx).AddLink(trace.Link{SpanContext: span.SpanContext()})
		}
	}
	return ctx, span
}

// guarded turns a panic or a miscounted answer into an error, so that no caller waits for ever.
func (b *Batcher[In, Out]) guarded(ctx context.Context, in []In) (out []Out, err error) {
	defer func() {
		if p := recover(); p != nil {
			slog.ErrorContext(ctx, "batch: panic", "panic", p, "stack", string(debug.Stack())) // once, not per caller
			err = panicked{fmt.Errorf("batch: panic: %v", p)}
		}
	}()
	Observe(b.opts.Name, len(in))
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
