package customer

import (
	"errors"
	"strings"
	"time"

	"github.com/bankmore/bankmore/platform/money"
)

// Reopening is an operator's decision to let the owner of a closed account in again, so that the owner can take money
// that reached the account after it was closed.
type Reopening struct {
	Number string // of the account
	Reason string // why, for the record: not blank
	At     time.Time
}

// Reopened is what a reopening found.
type Reopened struct {
	AccountID string
	ClosedAt  time.Time
	Balance   money.Cents // that has been kept for the owner
}

// Failures of a reopening. Operators read them.
var (
	ErrNotClosed = errors.New("the account is not closed")
	ErrNoReason  = errors.New("a reopening needs a reason")
)

// Validate returns ErrNoReason if the reason is blank.
func (r Reopening) Validate() error {
	if strings.TrimSpace(r.Reason) == "" {
		return ErrNoReason
	}
	return nil
}
