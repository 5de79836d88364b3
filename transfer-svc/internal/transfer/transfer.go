// Package transfer moves money between two accounts: a saga that debits the origin and credits the destination, or
// gives the money back. The service commits every state before it tries the next step, so that any replica can finish
// what another has begun.
package transfer

import (
	"context"
	"regexp"
	"time"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
)

// Failures of this domain. What the ledger refuses comes back with the ledger's own type and message.
var (
	ErrUnknownAccount = fault.New(fault.Invalid, "INVALID_ACCOUNT", "Conta não encontrada.")
	ErrSameAccount    = fault.New(fault.Invalid, "INVALID_TRANSFER", "A conta de destino deve ser diferente da conta de origem.")
	ErrNotFound       = fault.New(fault.NotFound, "INVALID_TRANSFER", "Transferência não encontrada.")
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

// accountNumber is the form of an account number. Only account-svc knows whether the check digit is right and whether
// the account exists.
var accountNumber = regexp.MustCompile(`^[0-9]{1,10}$`)

// Validate returns money.ErrInvalid, ErrUnknownAccount or ErrSameAccount if no ledger would ever take the command.
func (c Command) Validate() error {
	switch {
	case c.Amount.Positive() != nil:
		return c.Amount.Positive()
	case !accountNumber.MatchString(c.Destination):
		return ErrUnknownAccount
	case c.Destination == c.Origin.AccountNumber:
		return ErrSameAccount
	default:
		return nil
	}
}

// Transfer is a transfer and how far it has come. Times have whole microseconds.
type Transfer struct {
	ID          string // UUIDv7: ordered by time
	RequestID   string
	Fingerprint string
	Origin      Party
	Destination string // account number
	Amount      money.Cents
	State       State
	Failure     Failure // the refusal that led to Refunding or Failed; else zero
	CreatedAt   time.Time
	UpdatedAt   time.Time
	CompletedAt time.Time // zero unless Completed
	LeaseUntil  time.Time // recovery leaves the transfer alone until then; zero once final
	Claims      int       // how often recovery has claimed it; 0 while the request that created it drives it
}

// Failure is the ledger's definitive refusal.
type Failure struct {
	Type    string
	Message string
}

// Fault is the failure as the client gets it. A repeated request gets the same.
func (f Failure) Fault() *fault.Error { return fault.New(fault.Refused, f.Type, f.Message) }

// VisibleTo returns ErrNotParty unless p sent the transfer, or p is its destination and the transfer is completed.
func (t Transfer) VisibleTo(p Party) error {
	if t.Origin.AccountID == p.AccountID || (t.State == Completed && t.Destination == p.AccountNumber) {
		return nil
	}
	return ErrNotParty
}

// leased reports whether t has a valid lease at now: one that has not ended, and that ends no later than LeaseLimit.
func (t Transfer) leased(now time.Time) bool {
	return now.Before(t.LeaseUntil) && !t.LeaseUntil.After(LeaseLimit(now))
}

// runsInRequest reports whether the request that created t still drives it: recovery has not claimed t, and the lease is
// valid.
func (t Transfer) runsInRequest(now time.Time) bool {
	return !t.State.Final() && t.Claims == 0 && t.leased(now)
}

// Store keeps transfers. A failure of the database is a fault of kind Unavailable. It is then unknown whether the change
// took place.
type Store interface {
	// Commit makes all changes in one transaction. A step whose transfer is in another state changes nothing, and does not
	// affect the other changes.
	Commit(ctx context.Context, changes Changes) (Committed, error)
	// Claim claims up to limit unfinished transfers whose lease has ended at now, the earliest ended first. It sets their
	// leases to until and adds 1 to their Claims. No two callers get the same transfer.
	Claim(ctx context.Context, now, until time.Time, limit int) ([]Transfer, error)
	// Recall shortens up to limit leases that end after latest: it lets them end at now. It returns how many.
	Recall(ctx context.Context, now, latest time.Time, limit int) (int, error)
	// Transfer returns the transfer with that id, or ErrNotFound.
	Transfer(ctx context.Context, id string) (Transfer, error)
	// List returns up to limit transfers with ids below before, newest first: those that p sent, and the completed ones that
	// p received.
	List(ctx context.Context, p Party, before string, limit int) ([]Transfer, error)
	// Backlog counts the unfinished transfers by state. A state without transfers is absent.
	Backlog(ctx context.Context) (map[State]Backlog, error)
}

// Changes are what one transaction writes.
type Changes struct {
	Creates  []Transfer
	Steps    []Step
	Releases []Release
}

// Step replaces a transfer by After if it is still in the state From. A step to Completed also writes the transfer's event
// to the outbox.
type Step struct {
	From  State
	After Transfer
}

// Release sets the end of a lease: now, so that recovery may claim the transfer at once, or later, to delay the next
// attempt. It has no effect if another driver has claimed the transfer since.
type Release struct {
	ID     string
	Claims int // Transfer.Claims as the releasing driver knows it
	Until  time.Time
}

// Committed answers Changes, in their order.
type Committed struct {
	Created []Transfer // the given transfer, or the older one with the same origin and request id
	Stepped []bool     // whether the step took effect
}

// Backlog describes the unfinished transfers in one state.
type Backlog struct {
	Count  int
	Oldest time.Time // when the oldest was created
}
