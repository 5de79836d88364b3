package transfer

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
)

// Ledger is account-svc. Move has three outcomes: the movement is done; the ledger refuses it for ever; or an error, which
// means that the outcome is unknown, also that of the movement's Then. The ledger may leave the Then of a movement that is done
// undecided: then Outcome.Then is nil.
type Ledger interface {
	Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error)
}

// Config bounds how long one driver works on a transfer.
type Config struct {
	Deadline       time.Duration `env:"TRANSFER_DEADLINE" envDefault:"8s"`        // of a request; then recovery takes over. At most MaxDeadline
	AttemptTimeout time.Duration `env:"TRANSFER_ATTEMPT_TIMEOUT" envDefault:"3s"` // of one call to the ledger
}

// MaxDeadline is the longest Deadline. It is well below the server's write timeout.
const MaxDeadline = 30 * time.Second

// LeaseMargin is how long a lease lasts beyond its driver's deadline, so that no driver works without a lease.
const LeaseMargin = 5 * time.Second

// LastWordTimeout bounds how long a driver tries to release its lease after its deadline. It is shorter than LeaseMargin.
const LastWordTimeout = 2 * time.Second

// Bell wakes a worker. Ringing never blocks.
type Bell interface{ Ring() }

// Bells wake the workers behind the service.
type Bells struct {
	Completed Bell // an event waits to be published
	Overdue   Bell // a transfer waits for recovery
}

// Service runs transfers and answers queries.
type Service struct {
	store  Store
	ledger Ledger
	config Config
	bells  Bells
}

// New returns the service.
func New(store Store, ledger Ledger, config Config, bells Bells) *Service {
	return &Service{store: store, ledger: ledger, config: config, bells: bells}
}

// Receipt is the answer to a command.
type Receipt struct {
	Transfer
	Replayed bool // an earlier command with the same key decided it
}

// Execute runs a transfer until it is completed, or has failed for the reason in Receipt.Failure. While an outcome is
// unknown, Execute tries again until Config.Deadline; then it leaves the transfer to recovery and returns it unfinished.
//
// A repeated command returns the first command's transfer. It returns fault.ErrKeyReused if its fingerprint differs, and
// fault.ErrInProgress while the request of the first command still runs. The end of ctx does not stop a transfer. After an
// error of kind Unavailable the caller may send the same command again.
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
	done, err := s.store.Commit(ctx, Changes{Creates: []Transfer{t}})
	if err != nil {
		return Receipt{}, away(err)
	}
	stored := done.Created[0]
	if stored.ID != t.ID {
		return s.replay(stored, c)
	}
	return Receipt{Transfer: s.drive(ctx, stored)}, nil
}

// open returns a new transfer for c, with a lease for the request that drives it.
func (s *Service) open(c Command) (Transfer, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Transfer{}, fmt.Errorf("drawing a transfer id: %w", err)
	}
	return Transfer{
		ID: id.String(), RequestID: c.RequestID, Fingerprint: c.Fingerprint, Origin: c.Origin, Destination: c.Destination,
		Amount: c.Amount, State: Pending, Lease: s.lease(),
	}, nil
}

// lease is the length of a driver's lease. It begins when the database writes it, which is after the driver's deadline has
// begun. So it ends at least LeaseMargin after the deadline.
func (s *Service) lease() time.Duration { return s.config.Deadline + LeaseMargin }

// replay answers a command whose key has a transfer already.
func (s *Service) replay(first Transfer, c Command) (Receipt, error) {
	switch {
	case first.Fingerprint != c.Fingerprint:
		return Receipt{}, fault.ErrKeyReused
	case first.runsInRequest():
		return Receipt{}, fault.ErrInProgress
	}
	if !first.State.Final() && !first.leased() {
		s.bells.Overdue.Ring() // a client is waiting for it
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

// List returns up to limit transfers of the caller, newest first: those that it sent, and the completed ones that it
// received. If before is not "", List returns only transfers with smaller ids.
func (s *Service) List(ctx context.Context, caller Party, before string, limit int) ([]Transfer, error) {
	if before == "" {
		before = uuid.Max.String()
	}
	return s.store.List(ctx, caller, before, limit)
}

// away returns err as a fault. An error that is no fault of its own becomes one of kind Unavailable, since the client did
// not cause it.
func away(err error) error {
	if f := fault.From(err); f.Kind != fault.Internal {
		return f
	}
	return fault.Away(err)
}
