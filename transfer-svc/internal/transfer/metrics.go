package transfer

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	finished = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "transfers_finished_total", Help: "Transfers that reached their end here, by outcome (completed, refused, refunded).",
	}, []string{"outcome"})
	handedOver = promauto.NewCounter(prometheus.CounterOpts{
		Name: "transfers_handed_over_total", Help: "Transfers that their request left to recovery.",
	})
	recovered = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "transfer_recoveries_total", Help: "Attempts of recovery at a transfer, by result (COMPLETED, FAILED, unknown).",
	}, []string{"result"})
	recalled = promauto.NewCounter(prometheus.CounterOpts{
		Name: "transfer_recalls_total", Help: "Leases ended because they would have lasted too long: a replica's clock is wrong.",
	})
	legAnswers = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "transfer_leg_answers_total", Help: "Answers of the ledger, by leg (debit, credit, refund) and verdict (done, refused, unknown).",
	}, []string{"leg", "verdict"})
	unfinished = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "transfers_unfinished", Help: "Unfinished transfers in the database, by state.",
	}, []string{"state"})
	oldest = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "transfers_unfinished_oldest_seconds", Help: "Age of the oldest unfinished transfer, by state.",
	}, []string{"state"})
)

// init creates every series with the value 0, so that an alert rule can tell "zero" from "no data".
func init() {
	for _, outcome := range []string{"completed", "refused", "refunded"} {
		finished.WithLabelValues(outcome)
	}
	for _, result := range []string{string(Completed), string(Failed), "unknown"} {
		recovered.WithLabelValues(result)
	}
	for _, leg := range []Leg{Debit, Credit, Refund} {
		for _, verdict := range []Verdict{Done, Refused, Unknown} {
			legAnswers.WithLabelValues(string(leg), string(verdict))
		}
	}
	for _, state := range Unfinished {
		unfinished.WithLabelValues(string(state))
		oldest.WithLabelValues(string(state))
	}
}
