// Package worker runs background loops: on a wake-up, and at least every interval, until the context ends.
package worker

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
	Name: "worker_failures_total", Help: "Rounds of a worker that failed. While a worker that sets a gauge fails, the gauge keeps its old value.",
}, []string{"worker"})

// Run calls round until ctx ends. Errors are logged and counted under name; the loop goes on.
func Run(ctx context.Context, name string, interval time.Duration, bell Bell, round Round) {
	failed := failures.WithLabelValues(name)
	timer := time.NewTimer(0)
	defer timer.Stop()
	rings := bell
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-rings:
		}
		rings = bell
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = within(ctx, round); err != nil {
				if ctx.Err() == nil {
					failed.Inc()
					slog.ErrorContext(ctx, "worker round failed", "worker", name, "error", err)
				}
				more = false
				rings = nil // ignore rings until the interval is over, so that they do not repeat a failing round at once
			}
		}
		timer.Reset(interval)
	}
}

func within(ctx context.Context, round Round) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, roundLimit)
	defer cancel()
	return round(ctx)
}
