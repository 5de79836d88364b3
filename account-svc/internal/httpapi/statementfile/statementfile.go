// Package statementfile writes the statement of a period as a file: for spreadsheets as CSV, and for accounting programs as OFX.
// The writers need the memory of one movement, however many there are. They write the same statement as the same bytes.
package statementfile

import (
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/money"
)

// Statement is what a file tells.
type Statement struct {
	BankCode string // up to nine digits
	Account  string // its number

	// The period is from From to before To. Opening and Closing are the balances at its beginning and at its end.
	From, To         time.Time
	Opening, Closing money.Cents

	// CompleteUntil is To, or earlier if movements may still be added that were made between the two.
	CompleteUntil time.Time

	Made time.Time // when the statement was asked for
	Zone *time.Location

	// Walk calls visit for each movement of the period, oldest first. It returns the first error of visit, or its own.
	Walk func(visit func(ledger.Movement) error) error
}

// lastMoment returns the last moment of the period, to the second. The days from the 1st to the 30th end on the 30th at
// 23:59:59.
func (s Statement) lastMoment() time.Time { return s.To.Add(-time.Nanosecond) }

// next returns the instant from which a program has to ask the next time, so that it misses nothing.
func (s Statement) next() time.Time {
	switch {
	case !s.CompleteUntil.Before(s.To):
		return s.lastMoment()
	case s.CompleteUntil.Before(s.From):
		return s.From
	}
	return s.CompleteUntil
}

// signed returns by how much a movement changes the balance.
func signed(m ledger.Movement) money.Cents {
	if m.Type == ledger.Debit {
		return -m.Amount
	}
	return m.Amount
}
