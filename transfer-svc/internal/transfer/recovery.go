package transfer

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// How many transfers recovery takes at a time, and how long it waits between two attempts at one transfer.
const (
	recoveryPortion    = 128
	recoveryBackoff    = 500 * time.Millisecond
	maxRecoveryBackoff = 30 * time.Second
)

// Recover claims up to recoveryPortion transfers whose lease has ended, and drives each as far as it can; it is a
// service.Round. Any number of replicas may run it. Leases keep two replicas from one transfer. If a lease fails to, each
// step still takes effect once only, since it names the state before. The cost of a round does not grow with the backlog.
func (s *Service) Recover(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Deadline) // begins before the lease, which the claim begins
	defer cancel()
	claimed, err := s.store.Claim(ctx, s.lease(), recoveryPortion)
	if err != nil {
		return false, err
	}
	var drivers sync.WaitGroup
	for _, t := range claimed {
		drivers.Go(func() { s.recoverOne(ctx, t) })
	}
	drivers.Wait()
	return len(claimed) == recoveryPortion, nil
}

// recoverOne makes one attempt at each remaining leg. After an unknown outcome it releases the transfer for a later
// attempt. The pause grows with Transfer.Claims.
func (s *Service) recoverOne(ctx context.Context, t Transfer) {
	t, err := s.advance(ctx, t)
	if err != nil {
		pause := jittered(recoveryBackoff, maxRecoveryBackoff, t.Claims)
		slog.WarnContext(ctx, "transfer still unfinished", "transfer_id", t.ID, "state", t.State, "claims", t.Claims,
			"created_at", t.CreatedAt, "retry_in", pause.String(), "error", err)
		s.release(ctx, t, pause)
		return
	}
	slog.InfoContext(ctx, "transfer recovered", "transfer_id", t.ID, "state", t.State, "claims", t.Claims)
}
