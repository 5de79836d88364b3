// Package metered counts what becomes of fees: a decorator of the queue.
package metered

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
)

var (
	outcomes = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "bankmore_fee_collections_total",
		Help: "Attempts to collect a fee, by outcome (charged, refused, waived, unknown).",
	}, []string{"outcome"})
	asked = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "bankmore_fee_debtors_asked_total", Help: "Accounts whose balance was asked for, by answer (covered, short, inactive, unknown).",
	}, []string{"answer"})
	pendingFees = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "bankmore_fee_pending", Help: "Fees not yet charged or waived, by what they wait for (collection, balance).",
	}, []string{"waits_for"})
	oldestPending = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "bankmore_fee_pending_oldest_seconds", Help: "Age of the oldest fee that waits for collection.",
	})
)

// init creates every series with the value 0, so that an alert rule can tell "zero" from "no data".
func init() {
	for _, outcome := range []string{"charged", "refused", "waived", "unknown"} {
		outcomes.WithLabelValues(outcome)
	}
	for _, answer := range []fee.Finding{fee.Covered, fee.Short, fee.Inactive, fee.Unanswered} {
		asked.WithLabelValues(string(answer))
	}
	setPending(fee.Backlog{})
}

// Queue counts the debtors that were asked about, and the fees that were settled.
type Queue struct{ fee.Queue }

// NewQueue returns a queue in front of inner.
func NewQueue(inner fee.Queue) Queue { return Queue{inner} }

// Settle implements fee.Queue.
func (q Queue) Settle(ctx context.Context, settlements []fee.Settlement, releases []fee.Release) ([]fee.Settlement, error) {
	for _, r := range releases {
		asked.WithLabelValues(string(r.Found)).Inc()
	}
	effective, err := q.Queue.Settle(ctx, settlements, releases)
	for _, s := range effective {
		outcomes.WithLabelValues(s.Outcome()).Inc()
	}
	return effective, err
}

// Measure sets the gauges of pending fees; it is a service.Round.
func (q Queue) Measure(ctx context.Context) (more bool, err error) {
	backlog, err := q.Backlog(ctx)
	if err != nil {
		return false, err
	}
	setPending(backlog)
	oldestPending.Set(backlog.Age.Seconds())
	return false, nil
}

func setPending(b fee.Backlog) {
	pendingFees.WithLabelValues("collection").Set(float64(b.ForCollection))
	pendingFees.WithLabelValues("balance").Set(float64(b.ForBalance))
}
