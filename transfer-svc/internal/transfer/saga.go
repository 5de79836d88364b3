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

// The states. In each state that is not final, the service sends one leg to the ledger.
const (
	Pending   State = "PENDING"   // the debit has no known outcome yet
	Debited   State = "DEBITED"   // the origin has paid, the credit has no known outcome yet
	Refunding State = "REFUNDING" // the credit is refused for ever, the origin gets its money back
	Completed State = "COMPLETED" // both legs are in the ledger
	Failed    State = "FAILED"    // no money moved, or it is back
)

// Unfinished are the states that are not final.
var Unfinished = []State{Pending, Debited, Refunding}

// Final reports whether the transfer has ended.
func (s State) Final() bool { return s == Completed || s == Failed }

// Status is what clients see: Pending, Completed or Failed.
func (s State) Status() State {
	if s.Final() {
		return s
	}
	return Pending
}

// Leg is one movement of a transfer. Its name is also the last part of the movement's idempotency key.
type Leg string

// The legs.
const (
	Debit  Leg = "debit"
	Credit Leg = "credit"
	Refund Leg = "refund"
)

// Leg returns the leg to send in this state, or "" in a final state.
func (s State) Leg() Leg {
	return map[State]Leg{Pending: Debit, Debited: Credit, Refunding: Refund}[s]
}

// Verdict classifies the ledger's answer to a leg.
type Verdict string

// The verdicts.
const (
	Done    Verdict = "done"    // the movement is in the ledger
	Refused Verdict = "refused" // the movement is not in the ledger, and never will be under this key
	Unknown Verdict = "unknown" // the movement may be in the ledger; send the same leg with the same key to find out
)

// Answer is the ledger's answer to a leg.
type Answer struct {
	Verdict Verdict
	Refusal Failure // set if Verdict is Refused
}

// Next returns t as it is after the ledger's answer to its present leg. It makes all decisions of the saga and has no
// side effects. It returns t unchanged if the outcome is unknown, or if the ledger refuses a refund. The ledger's contract
// excludes a refused refund; the transfer then stays in Refunding, so that somebody looks for the origin's money.
// UpdatedAt never goes backwards, even if the clocks of replicas differ.
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

// Movement returns the present leg as a command to the ledger. The debit names the destination, so that the ledger refuses
// an unknown or inactive destination before any money moves. The debit also carries the customer's request id and
// fingerprint. If t is lost, ops repair can restore it from the ledger, and a repeated request finds it again.
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
