package transfer

import (
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
)

// State is how far a transfer has come:
//
//	Pending ──debit──▶ Debited ──credit──▶ Completed
//	   │ refused          │ refused
//	   ▼                  ▼
//	Failed ◀──refund── Refunding
type State string

// The states. In each that is not final, one leg is to be sent to the ledger.
const (
	Pending   State = "PENDING"   // the debit has no known outcome yet
	Debited   State = "DEBITED"   // the origin has paid, the credit has no known outcome yet
	Refunding State = "REFUNDING" // the credit is refused for ever, the origin gets its money back
	Completed State = "COMPLETED" // both legs are in the ledger
	Failed    State = "FAILED"    // no money moved, or it is back
)

// Unfinished are the states that are not final.
var Unfinished = []State{Pending, Debited, Refunding}

// Final reports whether nothing is left to be done.
func (s State) Final() bool { return s == Completed || s == Failed }

// Status is what clients see: Pending, Completed or Failed.
func (s State) Status() State {
	if s.Final() {
		return s
	}
	return Pending
}

// Leg is one movement of a transfer. It is also the end of the movement's idempotency key.
type Leg string

// The legs.
const (
	Debit  Leg = "debit"
	Credit Leg = "credit"
	Refund Leg = "refund"
)

// Leg is the one to send in this state, or "" in a final one.
func (s State) Leg() Leg {
	return map[State]Leg{Pending: Debit, Debited: Credit, Refunding: Refund}[s]
}

// Verdict classifies what the ledger says to a leg. There is no fourth.
type Verdict string

// The verdicts.
const (
	Done    Verdict = "done"    // the movement is in the ledger
	Refused Verdict = "refused" // it is not, and never will be under this key
	Unknown Verdict = "unknown" // it may be; only the same leg with the same key will tell
)

// Answer is the ledger's answer to a leg.
type Answer struct {
	Verdict Verdict
	Refusal Failure // of Refused
}

// Next is t after answer to its present leg: the whole of the saga's decisions, without any effect. It returns t as it
// was if the outcome is unknown, or if a refund is refused, which the ledger's contract excludes: then the origin's
// money must be looked for, not forgotten. Time never runs backwards, whatever the clocks of replicas say.
func Next(t Transfer, answer Answer, now time.Time) Transfer {
	if now.Before(t.UpdatedAt) {
		now = t.UpdatedAt
	}
	switch {
	case t.State == Pending && answer.Verdict == Done:
		t.State = Debited
	case t.State == Pending && answer.Verdict == Refused:
		t.State, t.Failure = Failed, answer.Refusal
	case t.State == Debited && answer.Verdict == Done:
		t.State, t.CompletedAt = Completed, now
	case t.State == Debited && answer.Verdict == Refused:
		t.State, t.Failure = Refunding, answer.Refusal
	case t.State == Refunding && answer.Verdict == Done:
		t.State = Failed
	default:
		return t
	}
	t.UpdatedAt = now
	if t.State.Final() {
		t.LeaseUntil = time.Time{}
	}
	return t
}

// Movement is the present leg as a command to the ledger. The debit names the destination, so that an unknown or
// inactive one is refused before any money moves. It also carries the customer's request: should t be lost, it can be
// restored from the ledger, and a repeated request finds it.
func (t Transfer) Movement() accountapi.Movement {
	leg := t.State.Leg()
	m := accountapi.Movement{
		RequestID: t.ID + ":" + string(leg), TransferID: t.ID, Amount: t.Amount, Kind: accountapi.KindTransfer,
		AccountNumber: t.Origin.AccountNumber, Counterparty: t.Destination, Type: accountapi.Credit,
	}
	switch leg {
	case Debit:
		m.Type = accountapi.Debit
		m.TransferRequestID, m.TransferFingerprint = t.RequestID, t.Fingerprint
	case Credit:
		m.AccountNumber, m.Counterparty = t.Destination, t.Origin.AccountNumber
	case Refund:
		m.Kind = accountapi.KindRefund
	}
	return m
}
