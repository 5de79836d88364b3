package fee

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
)

// Settlement is the next state of a claimed fee.
type Settlement struct {
	ID            string
	AccountNumber string // the debtor's
	Attempt       int    // the attempt that was made; the settlement takes effect only if the fee is still at it
	Status        Status
	Reason        Reason
	Next          int // the fee's attempt afterwards
	Unknowns      int // the fee's unknown outcomes of attempt Next
}

// Release ends a collector's claim of a debtor.
type Release struct {
	AccountNumber string
	Until         time.Time     // Debtor.Until of the claim
	Pause         time.Duration // for so long no collector claims the debtor
	Waits         bool          // the balance does not cover the oldest fee
	Found         Finding       // not stored
}

// Finding is what the ledger said when the collector asked for a debtor's balance.
type Finding string

// The findings.
const (
	Covered    Finding = "covered"  // the balance covers all claims of the round
	Short      Finding = "short"    // it does not
	Inactive   Finding = "inactive" // the account is closed, or does not exist
	Unanswered Finding = "unknown"  // the ledger did not answer
)

// Outcome says what became of the attempt: "charged", "waived", "refused" or "unknown".
func (s Settlement) Outcome() string {
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
	debtor   Debtor
	found    Finding
	short    bool     // the balance does not cover all claims: the oldest claim that is not tried has to wait
	owesMore bool     // the debtor may owe fees that this round has not read or not settled
	tries    []Claim  // the claims to debit, in the order of their ids
	answers  []answer // one for each of tries
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
	switch {
	case !standing.Active:
		c.found = Inactive
	case c.short:
		c.found = Short
	default:
		c.found = Covered
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
	s := Settlement{ID: claim.ID, AccountNumber: claim.AccountNumber, Attempt: claim.Attempt, Next: claim.Attempt}
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
func (c *collection) release(settlements []Settlement, interval time.Duration) Release {
	r := Release{AccountNumber: c.debtor.AccountNumber, Until: c.debtor.Until, Waits: c.short, Found: c.found}
	if c.found == Unanswered {
		r.Pause, r.Waits = jitter(unanswered), c.debtor.Waits
		return r
	}
	moved, unknowns := false, 0
	for i, s := range settlements {
		switch {
		case s.Outcome() == "unknown":
			unknowns = max(unknowns, s.Unknowns)
		case s.Outcome() == "refused" && !c.answers[i].outcome.Replayed:
			r.Waits = true // the balance went after the question
		default:
			moved = true
		}
	}
	c.owesMore = c.owesMore || r.Waits || slices.ContainsFunc(settlements, func(s Settlement) bool { return s.Status == Pending })
	switch {
	case unknowns > 0:
		r.Pause = jitter(grow(unknownMin, unknownMax, unknowns-1))
	case r.Waits && !moved:
		r.Pause = jitter(interval)
	}
	return r
}

// grow returns least, doubled as often as times says, or most if that is less.
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
