package transfer

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/crashpoint"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/worker"
)

// Ledger is account-svc. Its answers are three: done, a definitive and durable refusal, or an error, which means that
// the outcome is unknown.
type Ledger interface {
	Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error)
}

// Config bounds how long one driver works on a transfer.
type Config struct {
	Deadline       time.Duration `env:"TRANSFER_DEADLINE" envDefault:"8s"`        // of a request, then recovery takes over; at most MaxDeadline
	AttemptTimeout time.Duration `env:"TRANSFER_ATTEMPT_TIMEOUT" envDefault:"3s"` // of one call to the ledger
}

// MaxDeadline keeps a request's answer well within the server's time to write it, and bounds what a lease can be.
const MaxDeadline = 30 * time.Second

// LeaseMargin is how much longer than its driver's deadline a lease lasts, so that no driver works without one.
const LeaseMargin = 5 * time.Second

// LastWordTimeout bounds what a driver does after its deadline: giving up its lease. It is shorter than LeaseMargin.
const LastWordTimeout = 2 * time.Second

// clockTolerance is how far apart the clocks of replicas may be.
const clockTolerance = time.Minute

// LeaseLimit is the latest end that a lease, or a rest, can have at now. One beyond it was written by a clock that is
// wrong: it keeps nobody away, since a second driver is harmless and a transfer that waits for a day is not.
func LeaseLimit(now time.Time) time.Time {
	return now.Add(max(MaxDeadline+LeaseMargin, maxRecoveryBackoff) + clockTolerance)
}

// Bells wake the workers behind the service.
type Bells struct {
	Completed worker.Bell // an event waits to be published
	Overdue   worker.Bell // a transfer waits for recovery
}

// Service runs transfers and answers queries.
type Service struct {
	store   Store
	ledger  Ledger
	config  Config
	bells   Bells
	clock   func() time.Time // clock; tests set it wrong
	commits *batch.Batcher[change, outcome]
}

// New returns the service. Changes that arrive together share a transaction (group commit). If it fails for a reason that
// lies in one of them, the others have one without it.
func New(store Store, ledger Ledger, config Config, bells Bells) *Service {
	s := &Service{store: store, ledger: ledger, config: config, bells: bells, clock: clock}
	s.commits = batch.NewDivisible(s.commit, change.key, batch.Options{})
	return s
}

// Close waits for the changes already accepted. Call it when neither requests nor Recover run any more.
func (s *Service) Close() { s.commits.Close() }

// Receipt is the answer to a command.
type Receipt struct {
	Transfer
	Replayed bool // an earlier command with the same key decided it
}

// Execute runs a transfer to its end: completed, or failed for a reason that the receipt tells. While an outcome stays
// unknown it tries again until Config.Deadline, then leaves the transfer to recovery and returns it unfinished.
// A repeated command gets the first one's transfer; fault.ErrKeyReused if its payload differs; fault.ErrInProgress
// while the first still runs. A caller that goes away stops nothing. After an error of kind Unavailable the same
// command may be sent again.
func (s *Service) Execute(ctx context.Context, c Command) (Receipt, error) {
	if err := c.Validate(); err != nil {
		return Receipt{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Deadline)
	defer cancel()
	t, err := s.open(c)
	if err != nil {
		return Receipt{}, err
	}
	stored, err := s.commits.Do(ctx, change{create: &t})
	switch {
	case err != nil:
		return Receipt{}, away(err)
	case stored.transfer.ID != t.ID:
		return s.replay(stored.transfer, c)
	default:
		crashpoint.Reach("recorded", string(t.State))
		return Receipt{Transfer: s.drive(ctx, t)}, nil
	}
}

// open is the transfer that c asks for, with the lease of the request that drives it.
func (s *Service) open(c Command) (Transfer, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Transfer{}, fmt.Errorf("drawing a transfer id: %w", err)
	}
	now := s.clock()
	return Transfer{
		ID: id.String(), RequestID: c.RequestID, Fingerprint: c.Fingerprint, Origin: c.Origin, Destination: c.Destination,
		Amount: c.Amount, State: Pending, CreatedAt: now, UpdatedAt: now, LeaseUntil: s.leaseFrom(now),
	}, nil
}

// clock is the time as databases keep it: in UTC and whole microseconds.
func clock() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func (s *Service) leaseFrom(now time.Time) time.Time { return now.Add(s.config.Deadline + LeaseMargin) }

// replay answers a command whose key has a transfer already.
func (s *Service) replay(first Transfer, c Command) (Receipt, error) {
	now := s.clock()
	switch {
	case first.Fingerprint != c.Fingerprint:
		return Receipt{}, fault.ErrKeyReused
	case first.runsInRequest(now):
		return Receipt{}, fault.ErrInProgress
	}
	if !first.State.Final() && !first.leased(now) {
		s.bells.Overdue.Ring() // somebody is waiting for it
	}
	return Receipt{Transfer: first, Replayed: true}, nil
}

// Find returns a transfer to one of its parties: to the origin always, to the destination once it is completed.
func (s *Service) Find(ctx context.Context, caller Party, id string) (Transfer, error) {
	t, err := s.store.Transfer(ctx, id)
	if err == nil {
		err = t.VisibleTo(caller)
	}
	if err != nil {
		return Transfer{}, err
	}
	return t, nil
}

// List returns up to limit of the caller's transfers, newest first: all that it sent, and those it has received. If
// before is not "", only transfers with smaller ids.
func (s *Service) List(ctx context.Context, caller Party, before string, limit int) ([]Transfer, error) {
	if before == "" {
		before = uuid.Max.String()
	}
	return s.store.List(ctx, caller, before, limit)
}

// away makes a passing failure of what is none of the client's doing.
func away(err error) error {
	if f := fault.From(err); f.Kind != fault.Internal {
		return f
	}
	return fault.Away(err)
}
