package transfer

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// How much recovery takes at a time, and how long a transfer rests between its attempts.
const (
	recoveryPortion    = 128
	recallPortion      = 10_000
	recoveryBackoff    = 500 * time.Millisecond
	maxRecoveryBackoff = 30 * time.Second
)

// Recover claims a portion of the overdue transfers and drives each as far as it goes; it is a worker.Round. Any
// number of replicas may run it: leases keep them apart, and where a lease fails to, the steps' conditions do. What a
// round costs does not depend on how many wait.
func (s *Service) Recover(ctx context.Context) (more bool, err error) {
	now := s.clock()
	ctx, cancel := context.WithTimeout(ctx, s.config.Deadline) // begins with the lease, however long the claim takes
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

// Recall ends leases that last longer than any can, or nobody would take up their transfers until then; it is a
// worker.Round. To take one up early does no harm, but this is to run seldom: a replica whose clock is wrong takes it
// again at once, and every time is an attempt.
func (s *Service) Recall(ctx context.Context) (more bool, err error) {
	now := s.clock()
	n, err := s.store.Recall(ctx, now, LeaseLimit(now), recallPortion)
	recalled.Add(float64(n))
	if n > 0 {
		s.bells.Overdue.Ring()
	}
	return false, err
}

// recoverOne makes one attempt at each leg that is left. After an unknown outcome the transfer rests, the longer the
// more often it was tried.
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

// Measure sets the gauges of what is unfinished; it is a worker.Round. It counts, so it is not for every moment.
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
