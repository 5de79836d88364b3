package transfer

import "github.com/bankmore/bankmore/account-svc/accountapi"

// State is how far a transfer has come:
//
//	   ┌──────────debit and credit───────────┐
//	   │                                     ▼
//	Pending ──debit──▶ Debited ──credit──▶ Completed
//	   │  │               │ credit refused
//	   │  └───────────────┤
//	   │ debit refused    ▼
//	   │              Refunding
//	   ▼                  │
//	Failed ◀────refund────┘
//
// Pending sends the debit and the credit in one call, so most transfers go from Pending to Completed. If the ledger decides
// the debit and leaves the credit out, the transfer goes on through Debited.
type State string

// The states. In each state that is not final, the service sends one leg to the ledger. In Pending the debit carries the
// credit with it.
const (
	Pending   State = "PENDING"   // the debit and the credit have no known outcome yet
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

// Leg returns the leg to send in this state, or "" in a final state. In Pending it is the debit, which carries the credit.
func (s State) Leg() Leg {
	return map[State]Leg{Pending: Debit, Debited: Credit, Refunding: Refund}[s]
}

// Next returns t as it is after the ledger's answer to Movement. It makes all decisions of the saga and has no side effects.
// It returns t unchanged if the ledger refuses a refund. The ledger's contract excludes a refused refund; the transfer then
// stays in Refunding, so that somebody looks for the origin's money. While the outcome of a leg is unknown, there is no answer,
// and the caller sends the same leg with the same key again. The times of the step are the database's, which Step.At sets.
func Next(t Transfer, answer accountapi.Outcome) Transfer {
	switch {
	case t.State == Pending && answer.Refusal != nil:
		t.State, t.Failure = Failed, *answer.Refusal
	case t.State == Pending && answer.Then == nil:
		t.State = Debited
	case t.State == Pending:
		t = afterCredit(t, *answer.Then)
	case t.State == Debited:
		t = afterCredit(t, answer)
	case t.State == Refunding && answer.Refusal == nil:
		t.State = Failed
	default:
		return t
	}
	if t.State.Final() {
		t.Lease = 0
	}
	return t
}

// afterCredit returns t, which has been debited, as it is after the ledger's answer to its credit.
func afterCredit(t Transfer, credit accountapi.Outcome) Transfer {
	if credit.Refusal == nil {
		t.State = Completed
	} else {
		t.State, t.Failure = Refunding, *credit.Refusal
	}
	return t
}

// LegOf returns which leg m is. Transfer.Movement has returned m, alone or with a Then, which is a leg of its own.
func LegOf(m accountapi.Movement) Leg {
	switch {
	case m.Kind == accountapi.KindRefund:
		return Refund
	case m.Type == accountapi.Debit:
		return Debit
	default:
		return Credit
	}
}

// Movement returns the present leg as a command to the ledger. The debit names the destination, so that the ledger refuses
// an unknown or inactive destination before any money moves. The debit also carries the customer's request id and
// fingerprint. If t is lost, ops repair can restore it from the ledger, and a repeated request finds it again.
//
// In Pending the credit follows as the Then of the debit. The ledger decides it only if the debit is applied. The two are two
// commands, each with its own request id. So either may be sent again alone, whoever sent it first and in whatever company.
func (t Transfer) Movement() accountapi.Movement {
	m := t.movement(t.State.Leg())
	if t.State == Pending {
		m.Then = new(t.movement(Credit))
	}
	return m
}

// movement returns one leg as a command to the ledger.
func (t Transfer) movement(leg Leg) accountapi.Movement {
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
