package fee

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/crashpoint"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/worker"
)

// Config is what the environment decides about fees.
type Config struct {
	Amount money.Cents `env:"TRANSFER_FEE_AMOUNT" envDefault:"2.00"` // of each new fee; 0.00 turns fees off
	// BalanceInterval is how often an account whose balance does not cover its oldest fee is asked about, at most
	// maxBalanceInterval. A question follows at once, too, when the account owes another fee.
	BalanceInterval time.Duration `env:"FEE_BALANCE_INTERVAL" envDefault:"30s"`
}

// maxBalanceInterval and a lease are less than a minute: a fee is collected within a minute after the balance suffices,
// even if the collector that claims its debtor is killed.
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
	// Add inserts fees in one transaction, leaving out those whose transfer has one already, and tells of each whether
	// it was added. Of two fees for one transfer the first is added.
	Add(ctx context.Context, fees []Fee) (added []bool, err error)
	// Get returns a fee, or ErrNotFound.
	Get(ctx context.Context, id string) (Fee, error)
	// List returns up to limit fees of an account with ids below before ("" for the newest), newest first.
	List(ctx context.Context, accountNumber, before string, limit int) ([]Fee, error)
}

// Service records fees and answers queries.
type Service struct {
	store   Store
	amount  money.Cents
	due     worker.Bell
	commits *batch.Batcher[Fee, bool]
}

// maxJoined bounds how many fees share a transaction.
const maxJoined = 1024

// NewService returns a service that rings due when it has recorded fees to be collected.
func NewService(store Store, config Config, due worker.Bell) *Service {
	s := &Service{store: store, amount: config.Amount, due: due}
	s.commits = batch.NewDivisible(s.store.Add, func(f Fee) string { return f.AccountNumber }, batch.Options{MaxItems: maxJoined})
	return s
}

// Close waits for the fees already accepted.
func (s *Service) Close() { s.commits.Close() }

// Record makes sure that each transfer, all of them valid, has its fee. It tells of each whether the fee is new, or why it is
// not known to be durable; then the transfer may be recorded again.
func (s *Service) Record(ctx context.Context, transfers []Transfer) (added []bool, errs []error) {
	now := time.Now()
	fees := make([]Fee, len(transfers))
	for i, t := range transfers {
		fees[i] = newFee(t, s.amount, now)
	}
	added, errs = s.commits.DoAll(ctx, fees)
	if slices.Contains(errs, nil) {
		crashpoint.Reach("fees", "recorded")
		s.due.Ring()
	}
	return added, errs
}

// List returns up to limit fees of an account, newest first: those after the fee with id before, or from the newest on.
func (s *Service) List(ctx context.Context, accountNumber, before string, limit int) ([]Fee, error) {
	return s.store.List(ctx, accountNumber, before, limit)
}

// Detail returns a fee of the account: ErrNotFound if there is no such fee, ErrForeign if it is somebody else's.
func (s *Service) Detail(ctx context.Context, accountNumber, id string) (Fee, error) {
	if !canonicalID(id) {
		return Fee{}, ErrNotFound
	}
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
