package fee

import (
	"math/rand/v2"
	"time"
)

// Settlement is the next state of a claimed fee.
type Settlement struct {
	ID       string
	Attempt  int // that it settles; it takes effect only while this is the fee's attempt
	Status   Status
	Reason   Reason
	Next     int       // the attempt from now on
	Unknowns int       // of the attempt Next
	DueAt    time.Time // when Pending: not to be claimed before
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

// An unknown outcome is looked into again soon, with the same key: the ledger may be back at any moment.
const (
	unknownMin = 200 * time.Millisecond
	unknownMax = 30 * time.Second
)

// pace decides when a fee that is still pending is tried again.
type pace struct {
	retryMin, retryMax time.Duration
}

// settle says what follows from the ledger's answer to claim.
func (p pace) settle(claim Claim, a answer, now time.Time) Settlement {
	s := Settlement{ID: claim.ID, Attempt: claim.Attempt, Next: claim.Attempt, DueAt: now}
	refusal := a.outcome.Refusal
	switch {
	case a.err != nil:
		s.Status, s.Reason = Pending, claim.Reason
		s.Unknowns = claim.Unknowns + 1
		s.DueAt = now.Add(jitter(grow(unknownMin, unknownMax, claim.Unknowns)))
	case refusal == nil:
		s.Status = Charged
	case Reason(refusal.Type) == ReasonInsufficientBalance:
		s.Status, s.Reason = Pending, ReasonInsufficientBalance
		s.Next = claim.Attempt + 1
		s.DueAt = now.Add(jitter(grow(p.retryMin, p.retryMax, claim.Attempt-1)))
	default:
		s.Status, s.Reason = Waived, Reason(refusal.Type)
	}
	return s
}

// clockTolerance is how far the clocks of replicas may be apart without anybody minding.
const clockTolerance = 5 * time.Minute

// LatestDue is when at the latest a fee that is pending at now is due. A later time was written by a replica whose clock
// ran ahead, or with a longer FEE_RETRY_MAX.
func (c Config) LatestDue(now time.Time) time.Time {
	return now.Add(max(c.RetryMax, unknownMax, lease) + clockTolerance)
}

// RecallInterval is how often to look for what is due later. It is as long as a fee may rest anyway.
func (c Config) RecallInterval() time.Duration { return max(c.RetryMax, time.Minute) }

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
