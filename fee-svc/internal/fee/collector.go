package fee

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/crashpoint"
	"github.com/bankmore/bankmore/platform/worker"
)

// Ledger applies movements: done, definitively refused, or an error, which means that the outcome is unknown and the
// same movement must be sent again. *accountapi.Client is one.
type Ledger interface {
	Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error)
}

// Queue is the fees that wait to be collected.
type Queue interface {
	// Claim returns up to limit pending fees that are due at now, longest due first, and makes them due again at until:
	// unless they are settled before, another collector takes them then.
	Claim(ctx context.Context, now, until time.Time, limit int) ([]Claim, error)
	// Settle writes what became of claims in one transaction, together with the event of each fee that is now charged.
	// A settlement takes effect only if its fee is still pending at the settlement's attempt. It returns the settlements
	// that took effect.
	Settle(ctx context.Context, now time.Time, settlements []Settlement) (effective []Settlement, err error)
	// Recall makes up to limit pending fees that are due after latest due at now, and returns how many.
	Recall(ctx context.Context, now, latest time.Time, limit int) (int, error)
	// Backlog returns what is pending.
	Backlog(ctx context.Context) (Backlog, error)
}

// Backlog is the fees that are pending. Those whose account had no balance may be so for months, through nobody's fault;
// the others are collected at once, or something is wrong.
type Backlog struct {
	ForCollection int
	ForBalance    int
	Oldest        time.Time // since when the oldest waits for collection; zero if none does
}

// Claim is a fee that one collector may charge for a while.
type Claim struct {
	Fee
	Attempt  int // 1, 2, 3, …: the ledger's refusals so far, plus one
	Unknowns int // outcomes of this attempt that nobody learnt
}

// requestID is the idempotency key of the claim's attempt. The ledger refuses a key for ever once it has refused it, so
// a new attempt needs a new key. That is safe because Attempt moves on only when a refusal has been persisted: at any
// time at most one key of a fee is undecided, and none is tried after one was applied.
func (c Claim) requestID() string {
	if c.Attempt == 1 {
		return c.TransferID + ":fee"
	}
	return fmt.Sprintf("%s:fee:%d", c.TransferID, c.Attempt)
}

// How a collector paces itself.
const (
	portion  = 256              // fees per round, as many as the ledger takes in a call
	lease    = 15 * time.Second // as long wait the fees of a collector that was killed
	patience = lease / 2        // for the ledger's answers; what is left of the lease is for writing them down
	writing  = 5 * time.Second

	recallPortion = 10_000
)

var (
	outcomes = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "fee_collections_total",
		Help: "Attempts to collect a fee, by outcome (charged, refused, waived, unknown).",
	}, []string{"outcome"})
	recalls = promauto.NewCounter(prometheus.CounterOpts{
		Name: "fee_recalls_total", Help: "Fees made due because they had been put off too far: a replica's clock is wrong.",
	})
	pendingFees = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "fee_pending", Help: "Fees not yet charged or waived, by what they wait for (collection, balance).",
	}, []string{"waits_for"})
	oldestPending = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "fee_pending_oldest_seconds", Help: "Age of the oldest fee that waits for collection.",
	})
)

// Every series is there from the start, so that a rule can tell zero from nothing.
func init() {
	for _, outcome := range []string{"charged", "refused", "waived", "unknown"} {
		outcomes.WithLabelValues(outcome)
	}
	setPending(Backlog{})
}

// Collector charges pending fees. It is the only code that does, and any number of replicas may run one: a claim keeps
// them apart, and should two of them charge the same fee all the same, they use the same key.
type Collector struct {
	queue     Queue
	ledger    Ledger
	pace      pace
	latestDue func(now time.Time) time.Time
	now       func() time.Time
	events    worker.Bell
}

// NewCollector returns a collector that rings events when it has charged fees, whose events wait to be published.
func NewCollector(queue Queue, ledger Ledger, config Config, events worker.Bell) *Collector {
	return NewCollectorAt(queue, ledger, config, events, time.Now)
}

// NewCollectorAt is NewCollector with a clock, which decides what is due, not how long anything waits.
func NewCollectorAt(queue Queue, ledger Ledger, config Config, events worker.Bell, clock func() time.Time) *Collector {
	return &Collector{
		queue:     queue,
		ledger:    ledger,
		pace:      pace{retryMin: config.RetryMin, retryMax: config.RetryMax},
		latestDue: config.LatestDue,
		now:       clock,
		events:    events,
	}
}

// Round collects one portion; it is a worker.Round. A portion that was claimed is finished even if ctx ends meanwhile.
func (c *Collector) Round(ctx context.Context) (more bool, err error) {
	now := c.now()
	finishing := context.WithoutCancel(ctx)
	charging, cancel := context.WithTimeout(finishing, patience) // begins with the lease, however long the claim takes
	defer cancel()
	claims, err := c.queue.Claim(ctx, now, now.Add(lease), portion)
	if err != nil || len(claims) == 0 {
		return false, err
	}
	crashpoint.Reach("fees", "claimed")
	answers := c.charge(charging, claims)
	crashpoint.Reach("fees", "answered")

	now = c.now()
	settlements := make([]Settlement, len(claims))
	for i, claim := range claims {
		settlements[i] = c.pace.settle(claim, answers[i], now)
	}
	settling, cancel := context.WithTimeout(finishing, writing)
	defer cancel()
	effective, err := c.queue.Settle(settling, now, settlements)
	if err != nil {
		return false, fmt.Errorf("settling %d fees: %w", len(claims), err)
	}
	c.count(effective)
	if err := firstUnknown(answers); err != nil {
		return false, err // the next round after a breath
	}
	return len(claims) == portion, nil
}

// answer is what the ledger said to one claim.
type answer struct {
	outcome accountapi.Outcome
	err     error // the outcome is unknown
}

// charge sends all claims at once; the ledger's client joins them into few calls.
func (c *Collector) charge(ctx context.Context, claims []Claim) []answer {
	answers := make([]answer, len(claims))
	var waiting sync.WaitGroup
	for i, claim := range claims {
		waiting.Go(func() {
			answers[i].outcome, answers[i].err = c.ledger.Move(ctx, accountapi.Movement{
				RequestID:     claim.requestID(),
				AccountNumber: claim.AccountNumber,
				Type:          accountapi.Debit,
				Kind:          accountapi.KindFee,
				Amount:        claim.Amount,
				TransferID:    claim.TransferID,
				Description:   Description,
			})
		})
	}
	waiting.Wait()
	return answers
}

func (c *Collector) count(effective []Settlement) {
	charged := false
	for _, s := range effective {
		outcomes.WithLabelValues(s.outcome()).Inc()
		charged = charged || s.Status == Charged
	}
	if charged {
		c.events.Ring()
	}
}

func firstUnknown(answers []answer) error {
	var first error
	unknown := 0
	for _, a := range answers {
		if a.err != nil {
			unknown++
			if first == nil {
				first = a.err
			}
		}
	}
	if unknown == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d fees have an unknown outcome and will be tried again, the first: %w", unknown, len(answers), first)
}

// Recall makes fees due that have been put off too far, or nobody would collect them until then; it is a worker.Round, for
// every Config.RecallInterval. More often, a replica whose clock is wrong, and who recalls what the others rightly put off
// or puts off what they recall, would make an account without balance refuse all the time, each time for ever.
func (c *Collector) Recall(ctx context.Context) (more bool, err error) {
	now := c.now()
	recalled, err := c.queue.Recall(ctx, now, c.latestDue(now), recallPortion)
	recalls.Add(float64(recalled))
	return false, err
}

// Measure sets the gauges that show collection falling behind; it is a worker.Round.
func (c *Collector) Measure(ctx context.Context) (more bool, err error) {
	backlog, err := c.queue.Backlog(ctx)
	if err != nil {
		return false, err
	}
	setPending(backlog)
	oldestPending.Set(0)
	if backlog.ForCollection > 0 {
		oldestPending.Set(c.now().Sub(backlog.Oldest).Seconds())
	}
	return false, nil
}

func setPending(b Backlog) {
	pendingFees.WithLabelValues("collection").Set(float64(b.ForCollection))
	pendingFees.WithLabelValues("balance").Set(float64(b.ForBalance))
}
