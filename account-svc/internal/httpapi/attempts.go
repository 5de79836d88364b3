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
	PerMinute uint64 `env:"LOGIN_RATE_LIMIT" envDefault:"10"` // attempts per CPF, and per account for deactivation
}

// Validate returns an error for each value out of range.
func (c LoginConfig) Validate() error {
	if c.PerMinute == 0 {
		return errors.New("LOGIN_RATE_LIMIT is zero: nobody could log in")
	}
	return nil
}

// errTooMany is the answer to an attempt over the limit.
var errTooMany = fault.New(fault.RateLimited, fault.TypeRateLimited, "Muitas tentativas. Tente novamente mais tarde.")

// Attempts counts tries at a password, right or wrong, per customer, in this process.
type Attempts struct {
	store limiter.Store
}

// NewAttempts returns a counter.
func NewAttempts(config LoginConfig) (*Attempts, error) {
	store, err := memorystore.New(&memorystore.Config{
		Tokens: config.PerMinute, Interval: time.Minute, SweepInterval: time.Minute, SweepMinTTL: 2 * time.Minute,
	})
	if err != nil {
		return nil, err
	}
	return &Attempts{store: store}, nil
}

// Close ends the counter.
func (a *Attempts) Close(ctx context.Context) error { return a.store.Close(ctx) }

// Allow takes one attempt at the password of who, or fails with errTooMany.
func (a *Attempts) Allow(ctx context.Context, who string) error {
	_, _, reset, ok, err := a.store.Take(ctx, who)
	if err != nil {
		return fault.Away(err)
	}
	if !ok {
		return errTooMany.After(max(time.Second, time.Until(time.Unix(0, int64(reset))))) //nolint:gosec // nanoseconds since 1970
	}
	return nil
}
