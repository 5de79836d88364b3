// Package transfer moves money between two accounts: a saga that debits the origin and credits the destination, or
// gives the money back. Every state is in the database before the next step is tried, so that any replica can end what
// another has begun.
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

// accountNumber is the form of an account number. Whether its check digit is right and whether it exists, only
// account-svc knows.
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
	Failure     Failure // why it is refunding or has failed
	CreatedAt   time.Time
	UpdatedAt   time.Time
	CompletedAt time.Time // zero unless Completed
	LeaseUntil  time.Time // until then somebody drives it; zero once final
	Claims      int       // how often recovery took it over; 0 while the request that created it drives it
}

// Failure is the ledger's definitive refusal.
type Failure struct {
	Type    string
	Message string
}

// Fault is the failure as the client gets it, the first time and every time.
func (f Failure) Fault() *fault.Error { return fault.New(fault.Refused, f.Type, f.Message) }

// VisibleTo returns ErrNotParty unless p sent the transfer, or has received it.
func (t Transfer) VisibleTo(p Party) error {
	if t.Origin.AccountID == p.AccountID || (t.State == Completed && t.Destination == p.AccountNumber) {
		return nil
	}
	return ErrNotParty
}

// leased reports whether somebody drives t, or lets it rest, as far as its lease tells.
func (t Transfer) leased(now time.Time) bool {
	return now.Before(t.LeaseUntil) && !t.LeaseUntil.After(LeaseLimit(now))
}

// runsInRequest reports whether the request that created t still drives it.
func (t Transfer) runsInRequest(now time.Time) bool {
	return !t.State.Final() && t.Claims == 0 && t.leased(now)
}

// Store keeps transfers. Its failures are faults of kind Unavailable, after which it is unknown whether the change
// took place.
type Store interface {
	// Commit makes all changes in one transaction. One change that does not apply leaves the others as they are.
	Commit(ctx context.Context, changes Changes) (Committed, error)
	// Claim takes up to limit unfinished transfers whose lease has ended at now, those that have waited longest first,
	// gives them a lease until then, and counts the claim. No two callers get the same one.
	Claim(ctx context.Context, now, until time.Time, limit int) ([]Transfer, error)
	// Recall ends at now up to limit leases that would last beyond latest, and returns how many.
	Recall(ctx context.Context, now, latest time.Time, limit int) (int, error)
	// Transfer returns the transfer with that id, or ErrNotFound.
	Transfer(ctx context.Context, id string) (Transfer, error)
	// List returns up to limit transfers that p sent, or received and that are completed, with ids below before, newest
	// first.
	List(ctx context.Context, p Party, before string, limit int) ([]Transfer, error)
	// Backlog counts the unfinished transfers by state. A state without any is absent.
	Backlog(ctx context.Context) (map[State]Backlog, error)
}

// Changes are what one transaction writes.
type Changes struct {
	Creates  []Transfer
	Steps    []Step
	Releases []Release
}

// Step moves a transfer on: After is what it becomes, if it is still in the state From. A step to Completed also
// writes the event that tells of it.
type Step struct {
	From  State
	After Transfer
}

// Release ends a lease, or prolongs it to let the transfer rest, if nobody has claimed the transfer since.
type Release struct {
	ID     string
	Claims int // as the releasing driver knows it
	Until  time.Time
}

// Committed answers Changes, in their order.
type Committed struct {
	Created []Transfer // the given transfer, or the one that has its origin's request id already
	Stepped []bool     // whether the step applied
}

// Backlog is the unfinished transfers of a state.
type Backlog struct {
	Count  int
	Oldest time.Time // creation of the oldest
}
