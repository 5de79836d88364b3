package httpapi

import (
	"context"
	"errors"
	"time"

	"github.com/sethvargo/go-limiter"
	"github.com/sethvargo/go-limiter/memorystore"

	"github.com/bankmore/bankmore/platform/fault"
)

// LoginConfig bounds the guessing of passwords.
type LoginConfig struct {
	// PerMinute is attempts per CPF, and per account for deactivation. As the average counts, up to twice as many pass
	// within one minute: some saved up and then some as they come.
	PerMinute int `env:"LOGIN_RATE_LIMIT" envDefault:"10"`
}

// Validate returns an error for each value out of range.
func (c LoginConfig) Validate() error {
	if c.PerMinute < 1 {
		return errors.New("LOGIN_RATE_LIMIT is less than 1: nobody could log in")
	}
	return nil
}

// errTooMany is the answer to an attempt over the limit.
var errTooMany = fault.New(fault.RateLimited, fault.TypeRateLimited, "Muitas tentativas. Tente novamente mais tarde.")

// Counter counts attempts for all replicas together.
type Counter interface {
	// Take counts one attempt by who and returns how long to wait if it is one too many, else 0.
	Take(ctx context.Context, who string) (wait time.Duration, err error)
}

// Attempts counts tries at a password, right or wrong, per customer, in this process and through the shared counter, if
// there is one. Either may refuse: the shared one may be away, or have forgotten what it counted.
type Attempts struct {
	shared Counter
	local  limiter.Store
}

// NewAttempts returns a counter; shared may be nil.
func NewAttempts(config LoginConfig, shared Counter) (*Attempts, error) {
	local, err := memorystore.New(&memorystore.Config{
		Tokens:   uint64(config.PerMinute), //nolint:gosec // at least 1
		Interval: time.Minute, SweepInterval: time.Minute, SweepMinTTL: 2 * time.Minute,
	})
	if err != nil {
		return nil, err
	}
	return &Attempts{shared: shared, local: local}, nil
}

// Close ends the counter.
func (a *Attempts) Close(ctx context.Context) error { return a.local.Close(ctx) }

// Allow takes one attempt at the password of who, or fails with errTooMany.
func (a *Attempts) Allow(ctx context.Context, who string) error {
	wait, err := a.take(ctx, who)
	if err != nil {
		return fault.Away(err)
	}
	if wait > 0 {
		return errTooMany.After(wait)
	}
	return nil
}

func (a *Attempts) take(ctx context.Context, who string) (wait time.Duration, err error) {
	_, _, reset, ok, err := a.local.Take(ctx, who)
	if err != nil {
		return 0, err
	}
	if !ok {
		return max(time.Second, time.Until(time.Unix(0, int64(reset)))), nil //nolint:gosec // nanoseconds since 1970
	}
	if a.shared != nil {
		if wait, err := a.shared.Take(ctx, who); err == nil { // else this process has counted it, and the counter its failure
			return wait, nil
		}
	}
	return 0, nil
}
