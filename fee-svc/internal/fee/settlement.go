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
	Attempt  int // that it settles; it takes effect only while this is the fee's attempt
	Status   Status
	Reason   Reason
	Next     int // the attempt from now on
	Unknowns int // of the attempt Next
}

// Release ends a collector's claim of a debtor.
type Release struct {
	AccountNumber string
	Until         time.Time // of the claim that it ends
	DueAt         time.Time // not to be claimed before
	Waits         bool      // its balance does not cover its oldest fee
}

// outcome names s in metrics.
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

// What is unknown is looked into again soon, with the same key: the ledger may be back at any moment.
const (
	unknownMin = 200 * time.Millisecond // after a debit, growing with each that follows
	unknownMax = 30 * time.Second
	unanswered = time.Second // after a question
)

// collection is what a collector does about one debtor.
type collection struct {
	debtor     Debtor
	unanswered bool     // the ledger has not said what the debtor has
	short      bool     // the balance covers the tries, and not the oldest fee after them
	rest       bool     // the debtor may owe more than the claims that were looked at
	tries      []Claim  // to be debited, in the order of their ids
	answers    []answer // one for each of tries
}

// plan chooses the fees to be debited: of claims, which are the debtor's oldest, as many as the balance covers. No fee is
// taken before an older one. The ledger is also asked for each outcome that it has decided already, which costs nothing
// and leaves nothing behind: its answer to an earlier debit was lost, or the database was restored. An account that is
// closed, or does not exist, refuses for ever, whatever it owes.
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

// answer names the ledger's answer in metrics.
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

// settle says what follows for the fees that were tried.
func (c *collection) settle() []Settlement {
	settlements := make([]Settlement, len(c.tries))
	for i, claim := range c.tries {
		settlements[i] = settle(claim, c.answers[i])
	}
	return settlements
}

// settle says what follows from the ledger's answer to claim.
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

// release says when the debtor is due again: at once if a fee has moved on, since the next may be covered or decided as
// well; after an interval if the balance was too small. A refusal that the ledger only replays moves its fee on too: it
// says nothing about the present balance.
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
			r.Waits = true // it went meanwhile
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

// clockTolerance is how far the clocks of replicas may be apart without anybody minding.
const clockTolerance = 5 * time.Minute

// LatestDue is when at the latest a debtor is due at now, and when a claim ends. A later time was written by a replica
// whose clock ran ahead, or with a longer FEE_BALANCE_INTERVAL.
func (c Config) LatestDue(now time.Time) time.Time {
	return now.Add(max(c.BalanceInterval, unknownMax, lease) + clockTolerance)
}

// RecallInterval is how often to look for what is due later.
const RecallInterval = time.Minute

// grow doubles least times over, up to most.
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

// jitter takes up to a quarter off d, so that what failed together is not tried again together.
func jitter(d time.Duration) time.Duration {
	return d - random(d/4+1)
}

// random returns a duration in [0, n). The model test replaces it.
var random = rand.N[time.Duration]
