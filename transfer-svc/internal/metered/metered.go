// Package metered counts what becomes of transfers: decorators of the domain's ports.
package metered

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

var (
	finished = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "bankmore_transfers_finished_total", Help: "Transfers that reached their end here, by outcome (completed, refused, refunded).",
	}, []string{"outcome"})
	handedOver = promauto.NewCounter(prometheus.CounterOpts{
		Name: "bankmore_transfers_handed_over_total", Help: "Transfers that their request left to recovery.",
	})
	recovered = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "bankmore_transfer_recoveries_total", Help: "Attempts of recovery at a transfer, by result (COMPLETED, FAILED, unknown).",
	}, []string{"result"})
	legAnswers = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "bankmore_transfer_leg_answers_total",
		Help: "Answers of the ledger, by leg (debit, credit, refund) and verdict (done, refused, unknown; a credit also left_out).",
	}, []string{"leg", "verdict"})
	unfinished = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "bankmore_transfers_unfinished", Help: "Unfinished transfers in the database, by state.",
	}, []string{"state"})
	oldest = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "bankmore_transfers_unfinished_oldest_seconds", Help: "Age of the oldest unfinished transfer, by state.",
	}, []string{"state"})
)

// The outcomes of finished transfers.
const (
	completed = "completed"
	refused   = "refused" // also a verdict
	refunded  = "refunded"
)

// The verdicts of answers. An attempt of recovery that does not end its transfer has the result unknown, too.
const (
	done    = "done"
	unknown = "unknown"
	leftOut = "left_out" // the debit is done, and the ledger has not decided the credit that came with it
)

// init creates every series with the value 0, so that an alert rule can tell "zero" from "no data".
func init() {
	for _, outcome := range []string{completed, refused, refunded} {
		finished.WithLabelValues(outcome)
	}
	for _, result := range []string{string(transfer.Completed), string(transfer.Failed), unknown} {
		recovered.WithLabelValues(result)
	}
	for _, leg := range []transfer.Leg{transfer.Debit, transfer.Credit, transfer.Refund} {
		for _, verdict := range []string{done, refused, unknown} {
			legAnswers.WithLabelValues(string(leg), verdict)
		}
	}
	legAnswers.WithLabelValues(string(transfer.Credit), leftOut)
	for _, state := range transfer.Unfinished {
		unfinished.WithLabelValues(string(state))
		oldest.WithLabelValues(string(state))
	}
}

// Ledger counts the answers of inner.
type Ledger struct{ inner transfer.Ledger }

// NewLedger returns a ledger in front of inner.
func NewLedger(inner transfer.Ledger) Ledger { return Ledger{inner} }

// Move implements transfer.Ledger. It counts one answer for each leg of the call. If the debit is refused, the credit that came
// with it has no answer.
func (l Ledger) Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error) {
	outcome, err := l.inner.Move(ctx, m)
	countAnswer(m, verdictOn(outcome, err))
	switch {
	case m.Then == nil || outcome.Refusal != nil:
	case outcome.Then != nil:
		countAnswer(*m.Then, verdictOn(*outcome.Then, nil))
	case err != nil:
		countAnswer(*m.Then, unknown)
	default:
		countAnswer(*m.Then, leftOut)
	}
	return outcome, err
}

func verdictOn(outcome accountapi.Outcome, err error) string {
	switch {
	case err != nil:
		return unknown
	case outcome.Refusal != nil:
		return refused
	default:
		return done
	}
}

func countAnswer(leg accountapi.Movement, verdict string) {
	legAnswers.WithLabelValues(string(transfer.LegOf(leg)), verdict).Inc()
}

// Store counts the transfers that end, that requests give to recovery, and the attempts of recovery.
type Store struct{ transfer.Store }

// NewStore returns a store in front of inner.
func NewStore(inner transfer.Store) Store { return Store{inner} }

// Commit implements transfer.Store.
func (s Store) Commit(ctx context.Context, changes transfer.Changes) (transfer.Committed, error) {
	for _, r := range changes.Releases { // even if they fail: then the lease ends by itself
		if r.Claims == 0 {
			handedOver.Inc()
		} else {
			recovered.WithLabelValues(unknown).Inc()
		}
	}
	committed, err := s.Store.Commit(ctx, changes)
	if err != nil {
		return committed, err
	}
	for i, step := range changes.Steps {
		if !committed.Stepped[i].IsZero() && step.After.State.Final() {
			countEnd(step)
		}
	}
	return committed, nil
}

func countEnd(step transfer.Step) {
	outcome := refunded
	switch {
	case step.After.State == transfer.Completed:
		outcome = completed
	case step.From == transfer.Pending:
		outcome = refused
	}
	finished.WithLabelValues(outcome).Inc()
	if step.After.Claims > 0 {
		recovered.WithLabelValues(string(step.After.State)).Inc()
	}
}

// Measure sets the gauges of unfinished transfers; it is a service.Round. It counts rows, so do not run it often.
func (s Store) Measure(ctx context.Context) (more bool, err error) {
	backlog, err := s.Backlog(ctx)
	if err != nil {
		return false, err
	}
	for _, state := range transfer.Unfinished {
		unfinished.WithLabelValues(string(state)).Set(float64(backlog[state].Count))
		oldest.WithLabelValues(string(state)).Set(backlog[state].Age.Seconds())
	}
	return false, nil
}
