// Package batch joins calls that arrive together into one: adaptive batching without a timer. While capacity is free
// a call leaves at once, alone; what arrives while the allowed flights are in the air leaves together in the next.
// At low load it adds nothing, at high load the cost per call falls. Ledger commits, service invocations and state
// store access all go through it.
package batch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/bankmore/bankmore/platform/fault"
)

// Func does the work of a batch: one output per input, in order, or an error for all of them.
// Its context carries the values of the batch's first call, is not cancelled by any caller, and ends after Options.Timeout.
type Func[In, Out any] func(ctx context.Context, in []In) ([]Out, error)

// Options bound a Batcher. The zero value of a field takes its default.
type Options struct {
	MaxItems   int           // items per flight; default 256
	MaxFlights int           // flights at once; default 1
	MaxPending int           // calls waiting for a flight, beyond which Do refuses; default 16,384
	Timeout    time.Duration // of one flight; default 10 s
}

// ErrOverloaded is the answer when MaxPending calls wait already. The call has had no effect.
var ErrOverloaded = fault.Away(errors.New("batch: too many calls waiting"))

// ErrClosed is the answer after Close. The call has had no effect.
var ErrClosed = fault.Away(errors.New("batch: closed"))

// Batcher runs one Func for many callers.
type Batcher[In, Out any] struct {
	run  Func[In, Out]
	opts Options

	mu      sync.Mutex
	pending []*call[In, Out]
	flights int
	closed  bool
	idle    sync.WaitGroup
}

type call[In, Out any] struct {
	ctx  context.Context //nolint:containedctx // the first call of a batch lends its values to the flight
	in   In
	done chan result[Out]
}

type result[Out any] struct {
	out Out
	err error
}

// New returns a Batcher over run.
func New[In, Out any](run Func[In, Out], opts Options) *Batcher[In, Out] {
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
	return &Batcher[In, Out]{run: run, opts: opts}
}

// Do adds in to the next flight and waits for its own output. If ctx ends first, Do returns its error and the outcome
// is unknown: the flight goes on. If ctx has ended before, nothing is sent.
func (b *Batcher[In, Out]) Do(ctx context.Context, in In) (Out, error) {
	var none Out
	if err := ctx.Err(); err != nil {
		return none, err
	}
	c := &call[In, Out]{ctx: ctx, in: in, done: make(chan result[Out], 1)}
	if err := b.enqueue(c); err != nil {
		return none, err
	}
	select {
	case r := <-c.done:
		return r.out, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// Close refuses new calls and waits until those already accepted have been answered.
func (b *Batcher[In, Out]) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.idle.Wait()
}

func (b *Batcher[In, Out]) enqueue(c *call[In, Out]) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return ErrClosed
	case len(b.pending) >= b.opts.MaxPending:
		return ErrOverloaded
	}
	b.pending = append(b.pending, c)
	if b.flights < b.opts.MaxFlights {
		b.flights++
		b.idle.Add(1)
		go b.fly()
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
		b.answer(calls)
	}
}

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

func (b *Batcher[In, Out]) answer(calls []*call[In, Out]) {
	in := make([]In, len(calls))
	for i, c := range calls {
		in[i] = c.in
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(calls[0].ctx), b.opts.Timeout)
	defer cancel()
	out, err := b.guarded(ctx, in)
	for i, c := range calls {
		r := result[Out]{err: err}
		if err == nil {
			r.out = out[i]
		}
		c.done <- r
	}
}

// guarded turns a panic or a miscounted answer into an error, so that no caller waits for ever.
func (b *Batcher[In, Out]) guarded(ctx context.Context, in []In) (out []Out, err error) {
	defer func() {
		if p := recover(); p != nil {
			slog.ErrorContext(ctx, "batch: panic", "panic", p, "stack", string(debug.Stack())) // once, not per caller
			err = fmt.Errorf("batch: panic: %v", p)
		}
	}()
	out, err = b.run(ctx, in)
	if err == nil && len(out) != len(in) {
		err = fmt.Errorf("batch: %d outputs for %d inputs", len(out), len(in))
	}
	return out, err
}
