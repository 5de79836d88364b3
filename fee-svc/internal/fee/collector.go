package fee

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/crashpoint"
	"github.com/bankmore/bankmore/platform/worker"
)

// Ledger applies movements and tells what accounts have. *accountapi.Client is one.
type Ledger interface {
	// Balances returns one standing per question, in order, or an error, after which nothing is known.
	Balances(ctx context.Context, questions []accountapi.BalanceQuestion) ([]accountapi.Standing, error)
	// Move answers done, definitively refused, or an error, which means that the outcome is unknown and the same movement
	// must be sent again.
	Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error)
}

// Queue is the debtors, accounts with pending fees. A debtor belongs to one collector at a time.
type Queue interface {
	// Claim returns up to limit debtors that are due at now, longest due first, and keeps them from other collectors until
	// until, or until they are released.
	Claim(ctx context.Context, now, until time.Time, limit int) ([]Debtor, error)
	// Owed returns the oldest pending fees of each account, up to each of them, in the order of their ids.
	Owed(ctx context.Context, accountNumbers []string, each int) ([]Claim, error)
	// Settle writes what became of claims, together with the event of each fee that is now charged, and releases debtors,
	// in one transaction. A settlement takes effect only if its fee is still pending at the settlement's attempt, a release
	// only if no other collector has claimed its debtor since. A debtor that is released and owes nothing is no debtor any
	// more. Settle returns the settlements that took effect.
	Settle(ctx context.Context, now time.Time, settlements []Settlement, releases []Release) (effective []Settlement, err error)
	// Recall makes up to limit debtors that are due after latest due at now, ends up to limit claims that last longer than
	// latest, makes up to limit accounts debtors that have pending fees and are none, and returns how many they were.
	Recall(ctx context.Context, now, latest time.Time, limit int) (int, error)
	// Backlog returns what is pending.
	Backlog(ctx context.Context) (Backlog, error)
}

// Debtor is an account with pending fees that one collector has claimed.
type Debtor struct {
	AccountNumber string
	Waits         bool // for balance, as far as the last collector knew
}

// Backlog is the fees that are pending. Those whose account had no balance may be so for months, through nobody's fault;
// the others are collected at once, or something is wrong.
type Backlog struct {
	ForCollection int
	ForBalance    int
	Oldest        time.Time // since when the oldest waits for collection; zero if none does
}

// Claim is a fee of a debtor, which its collector may charge.
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
	portion  = 256              // debtors per round, and fees, as many as the ledger takes in a call
	atOnce   = 32               // fees of one debtor per round: so many may the ledger refuse if the balance goes meanwhile
	lease    = 15 * time.Second // as long wait the debtors of a collector that was killed
	patience = lease / 2        // for the ledger's answers; what is left of the lease is for writing them down
	writing  = 5 * time.Second

	recallPortion = 10_000
)

// share is how many fees of each debtor a round looks at.
func share(debtors int) int { return max(1, min(atOnce, portion/debtors)) }

var (
	outcomes = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "fee_collections_total",
		Help: "Attempts to collect a fee, by outcome (charged, refused, waived, unknown).",
	}, []string{"outcome"})
	asked = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "fee_debtors_asked_total", Help: "Accounts whose balance was asked for, by answer (covered, short, inactive, unknown).",
	}, []string{"answer"})
	recalls = promauto.NewCounter(prometheus.CounterOpts{
		Name: "fee_recalls_total", Help: "Accounts with pending fees made due because they had been put off too far, or because nobody had them in view.",
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
	for _, answer := range []string{"covered", "short", "inactive", "unknown"} {
		asked.WithLabelValues(answer)
	}
	setPending(Backlog{})
}

// Collector charges pending fees. It is the only code that does, and any number of replicas may run one: a claim keeps
// them apart, and should two of them charge the same fee all the same, they use the same key.
//
// It asks the ledger what its debtors have before it sends a debit, since a debit that is refused is a key that the
// ledger keeps for ever. So an account without balance costs one question per interval, however many fees it owes.
type Collector struct {
	queue     Queue
	ledger    Ledger
	interval  time.Duration
	latestDue func(now time.Time) time.Time
	now       func() time.Time
	events    worker.Bell

	settlements *batch.Batcher[ending, []Settlement]
}

// NewCollector returns a collector that rings events when it has charged fees, whose events wait to be published.
func NewCollector(queue Queue, ledger Ledger, config Config, events worker.Bell) *Collector {
	return NewCollectorAt(queue, ledger, config, events, time.Now)
}

// NewCollectorAt is NewCollector with a clock, which decides what is due, not how long anything waits.
func NewCollectorAt(queue Queue, ledger Ledger, config Config, events worker.Bell, clock func() time.Time) *Collector {
	c := &Collector{
		queue:     queue,
		ledger:    ledger,
		interval:  config.BalanceInterval,
		latestDue: config.LatestDue,
		now:       clock,
		events:    events,
	}
	c.settlements = batch.NewDivisible(c.write, func(e ending) string { return e.release.AccountNumber },
		batch.Options{MaxItems: portion, Timeout: writing})
	return c
}

// ending is what a round makes of one debtor.
type ending struct {
	at          time.Time
	settlements []Settlement
	release     Release
}

// write settles the debtors of one round in one transaction, and tells of each which settlements took effect.
func (c *Collector) write(ctx context.Context, endings []ending) ([][]Settlement, error) {
	var all []Settlement
	releases := make([]Release, len(endings))
	for i, e := range endings {
		all, releases[i] = append(all, e.settlements...), e.release
	}
	settled, err := c.queue.Settle(ctx, endings[0].at, all, releases)
	if err != nil {
		return nil, err
	}
	effective := make([][]Settlement, len(endings))
	for i, e := range endings {
		effective[i] = slices.DeleteFunc(slices.Clone(e.settlements), func(s Settlement) bool {
			return !slices.ContainsFunc(settled, func(t Settlement) bool { return t.ID == s.ID })
		})
	}
	return effective, nil
}

// Round collects one portion; it is a worker.Round. A portion that was claimed is finished even if ctx ends meanwhile.
func (c *Collector) Round(ctx context.Context) (more bool, err error) {
	now := c.now()
	until := now.Add(lease)
	finishing := context.WithoutCancel(ctx)
	charging, cancel := context.WithTimeout(finishing, patience) // begins with the lease, however long the claim takes
	defer cancel()
	debtors, err := c.queue.Claim(ctx, now, until, portion)
	if err != nil || len(debtors) == 0 {
		return false, err
	}
	crashpoint.Reach("fees", "claimed")
	cases, err := c.ask(charging, debtors)
	if cases == nil {
		return false, err // the lease ends by itself
	}
	c.charge(charging, cases)
	crashpoint.Reach("fees", "answered")

	now = c.now()
	endings := make([]ending, len(cases))
	for i := range cases {
		own := cases[i].settle()
		endings[i] = ending{at: now, settlements: own, release: cases[i].release(own, c.interval, until, now)}
		more = more || cases[i].rest && !endings[i].release.DueAt.After(now)
	}
	settling, cancel := context.WithTimeout(finishing, writing)
	defer cancel()
	effective, settleErrs := c.settlements.DoAll(settling, endings)
	c.count(slices.Concat(effective...))
	if settleErr := errors.Join(settleErrs...); settleErr != nil {
		return false, errors.Join(err, fmt.Errorf("settling: %w", settleErr))
	}
	if err == nil {
		err = firstUnknown(cases)
	}
	if err != nil {
		return false, err // the next round after a breath
	}
	return more || len(debtors) == portion, nil
}

// ask finds out what each debtor owes and what it has. If the ledger does not tell, the cases have no tries, and come
// with the error. There are no cases if the database does not tell.
func (c *Collector) ask(ctx context.Context, debtors []Debtor) ([]collection, error) {
	numbers := make([]string, len(debtors))
	for i, d := range debtors {
		numbers[i] = d.AccountNumber
	}
	each := share(len(debtors))
	claims, err := c.queue.Owed(ctx, numbers, each)
	if err != nil {
		return nil, err
	}
	owed := map[string][]Claim{}
	for _, claim := range claims {
		owed[claim.AccountNumber] = append(owed[claim.AccountNumber], claim)
	}
	cases := make([]collection, len(debtors))
	questions := make([]accountapi.BalanceQuestion, len(debtors))
	for i, d := range debtors {
		cases[i] = collection{debtor: d, rest: len(owed[d.AccountNumber]) == each}
		questions[i].AccountNumber = d.AccountNumber
		for _, claim := range owed[d.AccountNumber] {
			questions[i].RequestIDs = append(questions[i].RequestIDs, claim.requestID())
		}
	}
	standings, err := c.ledger.Balances(ctx, questions)
	if err != nil {
		for i := range cases {
			cases[i].unanswered = true
		}
		asked.WithLabelValues("unknown").Add(float64(len(cases)))
		return cases, fmt.Errorf("asking for the balances of %d accounts: %w", len(cases), err)
	}
	for i, standing := range standings {
		cases[i].plan(owed[standing.AccountNumber], standing)
		asked.WithLabelValues(cases[i].answer(standing)).Inc()
	}
	return cases, nil
}

// answer is what the ledger said to one claim.
type answer struct {
	outcome accountapi.Outcome
	err     error // the outcome is unknown
}

// charge sends the tries of all cases at once; the ledger's client joins them into few calls.
func (c *Collector) charge(ctx context.Context, cases []collection) {
	var waiting sync.WaitGroup
	for i := range cases {
		tries, answers := cases[i].tries, cases[i].answers
		for j, claim := range tries {
			waiting.Go(func() {
				answers[j].outcome, answers[j].err = c.ledger.Move(ctx, accountapi.Movement{
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
	}
	waiting.Wait()
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

func firstUnknown(cases []collection) error {
	var first error
	unknown, all := 0, 0
	for _, each := range cases {
		for _, a := range each.answers {
			all++
			if a.err != nil {
				unknown++
				if first == nil {
					first = a.err
				}
			}
		}
	}
	if unknown == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d fees have an unknown outcome and will be tried again, the first: %w", unknown, all, first)
}

// Recall makes debtors due that have been put off too far, or nobody would ask about them until then, and finds those
// that a replica of the version before debtors has left behind; it is a worker.Round, for every RecallInterval.
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
