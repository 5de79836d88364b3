package fee

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
)

// Settlement is the next state of a claimed fee.
type Settlement struct {
	ID       string
	Attempt  int // the attempt that was made; the settlement takes effect only if the fee is still at it
	Status   Status
	Reason   Reason
	Next     int // the fee's attempt afterwards
	Unknowns int // the fee's unknown outcomes of attempt Next
}

// Release ends a collector's claim of a debtor.
type Release struct {
	AccountNumber string
	Until         time.Time // the end of the claim, which identifies it
	DueAt         time.Time // no collector claims the debtor before
	Waits         bool      // the balance does not cover the oldest fee
}

// outcome returns the name of s in metrics.
func (s Settlement) outcome() string {
	switch {
	case s.Status == Charged:
		return "charged"
	case s.Status == Waived:
		return "waived"
	case s.Next > s.Attempt:
		return "refused"
	default:
		return "unknown"
	}
}

// How long a debtor waits after an unknown outcome. The next debit has the same key.
const (
	unknownMin = 200 * time.Millisecond // after the first debit without an answer; doubles with each further one
	unknownMax = 30 * time.Second       // the longest pause after a debit without an answer
	unanswered = time.Second            // after a question for the balance without an answer
)

// collection is one debtor's part of a round.
type collection struct {
	debtor     Debtor
	unanswered bool     // the ledger did not answer the question for the balance
	short      bool     // the balance does not cover all claims: the oldest claim that is not tried has to wait
	rest       bool     // the debtor may owe fees that this round has not read or not settled
	tries      []Claim  // the claims to debit, in the order of their ids
	answers    []answer // one for each of tries
}

// plan chooses the claims to debit. claims are the debtor's oldest fees.
//
//   - It chooses as many as the balance covers, oldest first. No fee is debited before an older one.
//   - It chooses every claim whose key the ledger has decided already, because an answer was lost or this database was
//     restored. Such a debit only returns the stored outcome. It moves no money and adds no row.
//   - If the account is closed or does not exist, it chooses all claims: the ledger refuses them for ever.
func (c *collection) plan(claims []Claim, standing accountapi.Standing) {
	left := standing.Balance
	for _, claim := range claims {
		switch {
		case !standing.Active, slices.Contains(standing.Decided, claim.requestID()):
		case !c.short && claim.Amount <= left:
			left -= claim.Amount
		default:
			c.short = true
			continue
		}
		c.tries = append(c.tries, claim)
	}
	c.answers = make([]answer, len(c.tries))
}

// answer returns the name of the ledger's answer in metrics.
func (c *collection) answer(standing accountapi.Standing) string {
	switch {
	case !standing.Active:
		return "inactive"
	case c.short:
		return "short"
	default:
		return "covered"
	}
}

// settle returns one settlement for each claim that was tried.
func (c *collection) settle() []Settlement {
	settlements := make([]Settlement, len(c.tries))
	for i, claim := range c.tries {
		settlements[i] = settle(claim, c.answers[i])
	}
	return settlements
}

// settle returns the settlement of claim that follows from the ledger's answer.
func settle(claim Claim, a answer) Settlement {
	s := Settlement{ID: claim.ID, Attempt: claim.Attempt, Next: claim.Attempt}
	refusal := a.outcome.Refusal
	switch {
	case a.err != nil:
		s.Status, s.Reason = Pending, claim.Reason
		s.Unknowns = claim.Unknowns + 1
	case refusal == nil:
		s.Status = Charged
	case Reason(refusal.Type) == ReasonInsufficientBalance:
		s.Status, s.Reason = Pending, ReasonInsufficientBalance
		s.Next = claim.Attempt + 1
	default:
		s.Status, s.Reason = Waived, Reason(refusal.Type)
	}
	return s
}

// release says when the debtor is due again.
//
//   - After an unknown outcome it is due after a pause that grows with the number of unknown outcomes.
//   - If a fee was charged or waived, it is due at once, since the balance may cover the next fee, or the ledger may have
//     decided it. The same holds after a replayed refusal: it says nothing about the present balance.
//   - Else, if the balance was too small, it is due after interval.
func (c *collection) release(settlements []Settlement, interval time.Duration, until, now time.Time) Release {
	r := Release{AccountNumber: c.debtor.AccountNumber, Until: until, DueAt: now, Waits: c.short}
	if c.unanswered {
		r.DueAt, r.Waits = now.Add(jitter(unanswered)), c.debtor.Waits
		return r
	}
	moved, unknowns := false, 0
	for i, s := range settlements {
		switch {
		case s.outcome() == "unknown":
			unknowns = max(unknowns, s.Unknowns)
		case s.outcome() == "refused" && !c.answers[i].outcome.Replayed:
			r.Waits = true // the balance went after the question
		default:
			moved = true
		}
	}
	c.rest = c.rest || r.Waits || slices.ContainsFunc(settlements, func(s Settlement) bool { return s.Status == Pending })
	switch {
	case unknowns > 0:
		r.DueAt = now.Add(jitter(grow(unknownMin, unknownMax, unknowns-1)))
	case r.Waits && !moved:
		r.DueAt = now.Add(jitter(interval))
	}
	return r
}

// clockTolerance is how far apart the clocks of replicas may be before Recall intervenes.
const clockTolerance = 5 * time.Minute

// LatestDue returns the latest time at which, seen from now, a debtor can be due or a claim can end. A later time was written
// by a replica whose clock was ahead, or that had a longer FEE_BALANCE_INTERVAL.
func (c Config) LatestDue(now time.Time) time.Time {
	return now.Add(max(c.BalanceInterval, unknownMax, lease) + clockTolerance)
}

// RecallInterval is how often to run Collector.Recall.
const RecallInterval = time.Minute

// grow returns least, doubled as often as times says, but at most most.
func grow(least, most time.Duration, times int) time.Duration {
	d := least
	for range times {
		if d >= most/2 {
			return most
		}
		d *= 2
	}
	return min(d, most)
}

// jitter returns d less a random part of up to a quarter, so that debtors that failed together are not due together.
func jitter(d time.Duration) time.Duration {
	return d - random(d/4+1)
}

// random returns a duration in [0, n). The model test replaces it.
var random = rand.N[time.Duration]
