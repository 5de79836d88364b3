package httpapi_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/httpapi"
	"github.com/bankmore/bankmore/platform/fault"
)

// counter stands for the shared one, whose own tests are in rediscache.
type counter func() (wait time.Duration, err error)

func (c counter) Take(context.Context, string) (time.Duration, error) { return c() }

// Whatever becomes of the shared counter, one process lets no more through than the limit.
func TestAttempts(t *testing.T) {
	taken := 0
	for name, c := range map[string]struct {
		shared  httpapi.Counter
		allowed int // of 20, at a limit of 5
	}{
		"none":                     {nil, 5},
		"away":                     {counter(func() (time.Duration, error) { return 0, errors.New("away") }), 5},
		"forgetful, as full Redis": {counter(func() (time.Duration, error) { return 0, nil }), 5},
		"refuses": {counter(func() (time.Duration, error) {
			if taken++; taken > 2 { // others have taken the rest
				return 7 * time.Second, nil
			}
			return 0, nil
		}), 2},
	} {
		attempts, err := httpapi.NewAttempts(httpapi.LoginConfig{PerMinute: 5}, c.shared)
		if err != nil {
			t.Fatal(err)
		}
		defer attempts.Close(t.Context())
		allowed := 0
		for range 20 {
			err := attempts.Allow(t.Context(), "who")
			var refused *fault.Error
			switch {
			case err == nil:
				allowed++
			case !errors.As(err, &refused) || refused.Kind != fault.RateLimited || refused.RetryAfter < time.Second || refused.RetryAfter > time.Minute:
				t.Errorf("%s: %v", name, err)
			}
		}
		if allowed != c.allowed {
			t.Errorf("%s: %d attempts are allowed, want %d", name, allowed, c.allowed)
		}
		if err := attempts.Allow(t.Context(), "somebody else"); name != "refuses" && err != nil {
			t.Errorf("%s: somebody else: %v", name, err)
		}
	}
}
