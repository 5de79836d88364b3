package transfer

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
)

// errRefundRefused is the error of an attempt whose refund the ledger refused. The transfer stays in Refunding, and
// recovery tries the refund again.
var errRefundRefused = errors.New("the ledger has refused a refund, which its contract excludes")

// drive runs a transfer for the request that created it, until the transfer is final. If ctx ends first, drive leaves the
// transfer to recovery.
func (s *Service) drive(ctx context.Context, t Transfer) Transfer {
	for attempt := 1; ; attempt++ {
		var err error
		if t, err = s.advance(ctx, t); err == nil {
			return t
		}
		slog.DebugContext(ctx, "transfer has no known outcome yet", "transfer_id", t.ID, "state", t.State, "attempt", attempt, "error", err)
		if !sleep(ctx, jittered(requestBackoff, maxRequestBackoff, attempt)) {
			slog.WarnContext(ctx, "transfer left to recovery", "transfer_id", t.ID, "state", t.State, "attempts", attempt, "error", err)
			s.release(ctx, t, 0)
			s.bells.Overdue.Ring()
			return t
		}
	}
}

// advance drives a transfer to a final state, or until the outcome of a leg or of a commit is unknown; then it returns an
// error. Two drivers of one transfer do no harm: the ledger gives both the same answers, and only one of them records
// each step.
func (s *Service) advance(ctx context.Context, t Transfer) (Transfer, error) {
	for !t.State.Final() {
		answer, err := s.ask(ctx, t)
		if err != nil {
			return t, err
		}
		after := Next(t, answer)
		if after.State == t.State {
			slog.ErrorContext(ctx, "refund refused", "transfer_id", t.ID, "type", answer.Refusal.Type, "message", answer.Refusal.Message)
			return t, errRefundRefused
		}
		if t, err = s.record(ctx, t, after); err != nil {
			return t, err
		}
	}
	return t, nil
}

// ask sends the present leg to the ledger. After an error the outcome is unknown: the movement, and its Then, may be in the
// ledger.
func (s *Service) ask(ctx context.Context, t Transfer) (answer accountapi.Outcome, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.AttemptTimeout)
	defer cancel()
	return s.ledger.Move(ctx, t.Movement())
}

// record writes the step from before to after. If another driver was faster, record returns the transfer that the other
// one has written.
func (s *Service) record(ctx context.Context, before, after Transfer) (Transfer, error) {
	step := Step{From: before.State, After: after}
	done, err := s.store.Commit(ctx, Changes{Steps: []Step{step}})
	if err != nil {
		return before, err
	}
	if at := done.Stepped[0]; !at.IsZero() {
		if after.State == Completed {
			s.bells.Completed.Ring()
		}
		return step.At(at), nil
	}
	stored, err := s.store.Transfer(ctx, before.ID)
	if err != nil {
		return before, err
	}
	if !stored.State.Final() {
		stored.Claims = before.Claims // the other driver's lease is not ours to release
	}
	return stored, nil
}

// release sets the lease of an unfinished transfer to end after pause. From then on recovery may claim the transfer. If
// release fails, the present lease ends by itself.
func (s *Service) release(ctx context.Context, t Transfer, pause time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), LastWordTimeout)
	defer cancel()
	if _, err := s.store.Commit(ctx, Changes{Releases: []Release{{ID: t.ID, Claims: t.Claims, Pause: pause}}}); err != nil {
		slog.WarnContext(ctx, "lease not released, it will end by itself", "transfer_id", t.ID, "error", err)
	}
}

// How long a driver waits before it asks again.
const (
	requestBackoff    = 50 * time.Millisecond
	maxRequestBackoff = time.Second
)

// jittered returns a random pause before the attempt after this one (1, 2, …). The pause is between half of d and d,
// where d is base, doubled with each attempt after the first, up to limit. The jitter spreads the attempts of transfers
// that failed together.
func jittered(base, limit time.Duration, attempt int) time.Duration {
	d := limit
	if attempt < 16 { // a longer shift would be far beyond any limit
		d = min(limit, base<<(attempt-1))
	}
	return d/2 + random(d/2+1)
}

// random returns a duration in [0, n). The model test replaces it.
var random = rand.N[time.Duration]

// sleep waits for d and returns true, or returns false as soon as ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
