package service

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Bell wakes a worker. Ringing never blocks, and any number of rings before the worker looks count as one.
type Bell chan struct{}

// NewBell returns a silent bell.
func NewBell() Bell { return make(Bell, 1) }

// Ring wakes the worker now, or as soon as it ends its present round.
func (b Bell) Ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// roundLimit bounds a round, so that a round without an answer does not wait for ever. Any round with answers is shorter.
const roundLimit = time.Minute

// Round does one portion of a worker's task. It reports whether more is waiting, in which case the next round follows
// at once. After an error the next round waits for the interval.
type Round func(ctx context.Context) (more bool, err error)

var failures = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "bankmore_worker_failures_total", Help: "Rounds of a worker that failed. While a worker that sets a gauge fails, the gauge keeps its old value.",
}, []string{"worker"})

// MeasureInterval is the usual interval of workers that set gauges.
const MeasureInterval = 5 * time.Second

// Gathering is the usual Gather of a worker for whose round no client waits. Each round costs calls and commits, so it should
// find the work of many requests (docs/adr/0040-what-nobody-waits-for-travels-in-portions.md).
const Gathering = 100 * time.Millisecond

// Worker calls Round when Bell rings, and at least every Interval.
type Worker struct {
	Name     string // in the log, and the label of its metric: what it works on, then what it is, such as "outbox relay"
	Interval time.Duration
	Bell     Bell          // nil: nobody wakes it
	Gather   time.Duration // from a ring to the round, so that the round finds more work; 0: the round begins at once
	Round    Round
}

// Run calls w.Round until ctx ends. Errors are logged and counted under w.Name; the loop goes on.
func (w Worker) Run(ctx context.Context) {
	failed := failures.WithLabelValues(w.Name)
	timer := time.NewTimer(0)
	defer timer.Stop()
	rings := w.Bell
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-rings:
			if !w.gather(ctx) {
				return
			}
		}
		rings = w.Bell
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = within(ctx, w.Round); err != nil {
				if ctx.Err() == nil {
					failed.Inc()
					slog.ErrorContext(ctx, "worker round failed", "worker", w.Name, "error", err)
				}
				more = false
				rings = nil // ignore rings until the interval is over, so that they do not repeat a failing round at once
			}
		}
		timer.Reset(w.Interval)
	}
}

// gather waits for more work. The coming round covers the rings of that time. gather reports false if ctx ends.
func (w Worker) gather(ctx context.Context) bool {
	if w.Gather <= 0 {
		return true
	}
	wait := time.NewTimer(w.Gather)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wait.C:
	}
	select {
	case <-w.Bell:
	default:
	}
	return true
}

func within(ctx context.Context, round Round) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, roundLimit)
	defer cancel()
	return round(ctx)
}
