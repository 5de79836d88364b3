// Package transfer moves money between two accounts: a saga that debits the origin and credits the destination, or
// gives the money back. The service commits every state before it tries the next step, so that any replica can finish
// what another has begun.
package transfer

import (
	"context"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
)

// Failures of this domain. What the ledger refuses comes back with the ledger's own type and message.
var (
	ErrUnknownAccount = fault.New(fault.Invalid, accountapi.UnknownAccount.Type, accountapi.UnknownAccount.Message)
	ErrSameAccount    = fault.New(fault.Invalid, accountapi.SameAccount.Type, accountapi.SameAccount.Message)
	ErrNotFound       = fault.New(fault.NotFound, accountapi.TypeInvalidTransfer, "Transferência não encontrada.")
	ErrNotParty       = fault.New(fault.Forbidden, "INVALID_OPERATION", "A transferência pertence a outras contas.")
)

// Party is an account that sends or receives.
type Party struct {
	AccountID     string
	AccountNumber string
}

// Command asks for a transfer.
type Command struct {
	RequestID   string // the origin's idempotency key
	Fingerprint string // of destination and amount; the same key with another one is refused
	Origin      Party
	Destination string      // account number
	Amount      money.Cents // at least 1
}

// Validate returns money.ErrInvalid, ErrUnknownAccount or ErrSameAccount if no ledger would ever take the command.
func (c Command) Validate() error {
	switch {
	case c.Amount.Positive() != nil:
		return c.Amount.Positive()
	case !accountapi.IsAccountNumber(c.Destination):
		return ErrUnknownAccount
	case c.Destination == c.Origin.AccountNumber:
		return ErrSameAccount
	default:
		return nil
	}
}

// Transfer is a transfer and how far it has come. Its times are the database's. They have whole microseconds.
type Transfer struct {
	ID          string // UUIDv7: ordered by time
	RequestID   string
	Fingerprint string
	Origin      Party
	Destination string // account number
	Amount      money.Cents
	State       State
	Failure     accountapi.Refusal // the refusal that led to Refunding or Failed; else zero
	CreatedAt   time.Time
	UpdatedAt   time.Time
	CompletedAt time.Time // zero unless Completed
	// Lease is for how long recovery leaves the transfer alone, from when the database wrote or read it. It is 0 if the lease
	// has ended, and once the transfer is final.
	Lease  time.Duration
	Claims int // how often recovery has claimed it; 0 while the request that created it drives it
}

// VisibleTo returns ErrNotParty unless p sent the transfer, or p is its destination and the transfer is completed.
func (t Transfer) VisibleTo(p Party) error {
	if t.Origin.AccountID == p.AccountID || (t.State == Completed && t.Destination == p.AccountNumber) {
		return nil
	}
	return ErrNotParty
}

// leased reports whether t had a lease when it was read.
func (t Transfer) leased() bool { return t.Lease > 0 }

// runsInRequest reports whether the request that created t still drove it when t was read: recovery has not claimed t, and
// its lease has not ended.
func (t Transfer) runsInRequest() bool {
	return !t.State.Final() && t.Claims == 0 && t.leased()
}

// Store keeps transfers. Only its own clock decides which lease has ended, so the clocks of replicas do not matter. A failure
// of the database is a fault of kind Unavailable. It is then unknown whether the change took place.
type Store interface {
	// Commit makes all changes. A step whose transfer is in another state changes nothing, and does not affect the other
	// changes. After an error, some of the changes may have taken effect; who must know which ones makes one change at a time.
	Commit(ctx context.Context, changes Changes) (Committed, error)
	// Claim claims up to limit unfinished transfers whose lease has ended, the earliest ended first. It gives them a new lease
	// and adds 1 to their Claims. No two callers get the same transfer.
	Claim(ctx context.Context, lease time.Duration, limit int) ([]Transfer, error)
	// Transfer returns the transfer with that id, or ErrNotFound.
	Transfer(ctx context.Context, id string) (Transfer, error)
	// List returns up to limit transfers with ids below before, newest first: those that p sent, and the completed ones that
	// p received.
	List(ctx context.Context, p Party, before string, limit int) ([]Transfer, error)
	// Backlog counts the unfinished transfers by state. A state without transfers is absent.
	Backlog(ctx context.Context) (map[State]Backlog, error)
}

// Changes are what one Commit writes.
type Changes struct {
	Creates  []Transfer // each with the length of its Lease, and without times
	Steps    []Step
	Releases []Release
}

// Step replaces a transfer by After if it is still in the state From. A step to Completed also writes the transfer's event
// to the outbox. The times of After do not matter.
type Step struct {
	From  State
	After Transfer
	// TraceParent goes on with the event of a completed transfer: see outbox.Message. Those who drive transfers leave it empty; a
	// decorator of the store fills it in.
	TraceParent string
}

// At returns After with the times that it has if the step takes effect at now.
func (s Step) At(now time.Time) Transfer {
	after := s.After
	after.UpdatedAt = now
	if after.State == Completed {
		after.CompletedAt = now
	}
	return after
}

// Release ends a lease after a pause: at once, so that recovery may claim the transfer, or later, to delay the next attempt.
// It has no effect if another driver has claimed the transfer since.
type Release struct {
	ID     string
	Claims int // Transfer.Claims as the releasing driver knows it
	Pause  time.Duration
}

// Committed answers Changes, in their order.
type Committed struct {
	Created []Transfer // the given transfer with its times, or the older one with the same origin and request id
	// Stepped is when each step took effect, or zero if it did not. A transfer's times never go backwards, even if the
	// database's clock does.
	Stepped []time.Time
}

// Backlog describes the unfinished transfers in one state.
type Backlog struct {
	Count int
	Age   time.Duration // of the oldest, or of the one that is furthest in the future if the database's clock has gone back
}
