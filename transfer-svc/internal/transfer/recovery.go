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
	recallPortion      = 10_000
	recoveryBackoff    = 500 * time.Millisecond
	maxRecoveryBackoff = 30 * time.Second
)

// Recover claims up to recoveryPortion transfers whose lease has ended, and drives each as far as it can; it is a
// worker.Round. Any number of replicas may run it. Leases keep two replicas from one transfer. If a lease fails to, each
// step still takes effect once only, since it names the state before. The cost of a round does not grow with the backlog.
func (s *Service) Recover(ctx context.Context) (more bool, err error) {
	now := s.clock()
	ctx, cancel := context.WithTimeout(ctx, s.config.Deadline) // begins with the lease, before the claim
	defer cancel()
	claimed, err := s.store.Claim(ctx, now, s.leaseFrom(now), recoveryPortion)
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

// Recall ends leases that end after LeaseLimit; it is a worker.Round. Without it, recovery would leave their transfers
// alone until then. To end a lease early does no harm. But run Recall seldom: a replica whose clock is wrong claims the
// transfer again at once, and each claim is another attempt.
func (s *Service) Recall(ctx context.Context) (more bool, err error) {
	now := s.clock()
	n, err := s.store.Recall(ctx, now, LeaseLimit(now), recallPortion)
	recalled.Add(float64(n))
	if n > 0 {
		s.bells.Overdue.Ring()
	}
	return false, err
}

// recoverOne makes one attempt at each remaining leg. After an unknown outcome it releases the transfer for a later
// attempt. The pause grows with Transfer.Claims.
func (s *Service) recoverOne(ctx context.Context, t Transfer) {
	t, err := s.advance(ctx, t)
	if err != nil {
		recovered.WithLabelValues("unknown").Inc()
		rest := jittered(recoveryBackoff, maxRecoveryBackoff, t.Claims)
		slog.WarnContext(ctx, "transfer still unfinished", "transfer_id", t.ID, "state", t.State, "claims", t.Claims,
			"age", s.clock().Sub(t.CreatedAt).String(), "retry_in", rest.String(), "error", err)
		s.release(ctx, t, s.clock().Add(rest))
		return
	}
	recovered.WithLabelValues(string(t.State)).Inc()
	slog.InfoContext(ctx, "transfer recovered", "transfer_id", t.ID, "state", t.State, "claims", t.Claims)
}

// Measure sets the gauges of unfinished transfers; it is a worker.Round. It counts rows, so do not run it often.
func (s *Service) Measure(ctx context.Context) (more bool, err error) {
	backlog, err := s.store.Backlog(ctx)
	if err != nil {
		return false, err
	}
	for _, state := range Unfinished {
		b := backlog[state]
		unfinished.WithLabelValues(string(state)).Set(float64(b.Count))
		age := 0.0
		if b.Count > 0 {
			age = max(0, s.clock().Sub(b.Oldest).Seconds())
		}
		oldest.WithLabelValues(string(state)).Set(age)
	}
	return false, nil
}
