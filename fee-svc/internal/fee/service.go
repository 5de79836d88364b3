package fee

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bankmore/bankmore/platform/money"
)

// Config is the configuration of fees.
type Config struct {
	Amount money.Cents `env:"TRANSFER_FEE_AMOUNT" envDefault:"2.00"` // of each new fee; 0.00 turns fees off
	// BalanceInterval is how often the collector asks for the balance of an account that cannot pay its oldest fee. It is
	// at most maxBalanceInterval. The collector also asks at once when the account gets another fee.
	BalanceInterval time.Duration `env:"FEE_BALANCE_INTERVAL" envDefault:"30s"`
}

// maxBalanceInterval and a lease of 15 s together are less than a minute. So a fee is collected within a minute after the
// balance suffices, even if the collector that has claimed its debtor is killed.
const maxBalanceInterval = 40 * time.Second

// Validate returns an error for each value out of range.
func (c Config) Validate() error {
	var problems []error
	if c.Amount < 0 {
		problems = append(problems, errors.New("TRANSFER_FEE_AMOUNT is negative"))
	}
	if c.BalanceInterval <= 0 || c.BalanceInterval > maxBalanceInterval {
		problems = append(problems, fmt.Errorf("FEE_BALANCE_INTERVAL is %s: want more than 0s and at most %s", c.BalanceInterval, maxBalanceInterval))
	}
	return errors.Join(problems...)
}

// Store keeps fees.
type Store interface {
	// Add inserts fees, as created now, and reports of each whether it was added. It leaves out a fee whose transfer has a fee
	// already. Of two fees for one transfer it adds the first. If it fails for some fees only, the error is Failures.
	Add(ctx context.Context, fees []Fee) (added []bool, err error)
	// Get returns a fee, or ErrNotFound.
	Get(ctx context.Context, id string) (Fee, error)
	// List returns up to limit fees of an account, newest first. If before is not "", only fees with smaller ids.
	List(ctx context.Context, accountNumber, before string, limit int) ([]Fee, error)
}

// Failures is the error of an Add that has not failed for all fees alike. It has one error per fee, which is nil if the fee
// is in the database.
type Failures []error

// Error returns the texts of all errors.
func (f Failures) Error() string { return errors.Join(f...).Error() }

// Unwrap returns the errors.
func (f Failures) Unwrap() []error { return f }

// each returns the error of each of n fees, given the error of their Add.
func each(err error, n int) []error {
	var some Failures
	if errors.As(err, &some) {
		return some
	}
	return slices.Repeat([]error{err}, n)
}

// Bell wakes a worker. Ringing never blocks.
type Bell interface{ Ring() }

// Service records fees and answers queries.
type Service struct {
	store  Store
	amount money.Cents
	due    Bell
}

// New returns a service. It rings the bell due when it has recorded fees.
func New(store Store, config Config, due Bell) *Service {
	return &Service{store: store, amount: config.Amount, due: due}
}

// Record makes sure that each transfer has its fee. The transfers must be valid. For each, it reports whether the fee is new,
// or returns an error if it is not known whether the fee is in the database; then the caller may record the transfer again.
func (s *Service) Record(ctx context.Context, transfers []Transfer) (added []bool, errs []error) {
	fees := make([]Fee, len(transfers))
	for i, t := range transfers {
		fees[i] = newFee(t, s.amount)
	}
	added, err := s.store.Add(ctx, fees)
	if added == nil {
		added = make([]bool, len(fees))
	}
	errs = each(err, len(fees))
	if slices.Contains(errs, nil) {
		s.due.Ring()
	}
	return added, errs
}

// List returns up to limit fees of an account, newest first. If before is not "", List returns only fees with smaller ids.
func (s *Service) List(ctx context.Context, accountNumber, before string, limit int) ([]Fee, error) {
	return s.store.List(ctx, accountNumber, before, limit)
}

// Detail returns a fee of the account. It returns ErrNotFound if there is no such fee, and ErrForeign if the fee is another
// account's.
func (s *Service) Detail(ctx context.Context, accountNumber, id string) (Fee, error) {
	f, err := s.store.Get(ctx, id)
	switch {
	case err != nil:
		return Fee{}, err
	case f.AccountNumber != accountNumber:
		return Fee{}, ErrForeign
	default:
		return f, nil
	}
}
