package fee

import (
	"errors"
	"testing"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
)

func refused(typ string) answer {
	return answer{outcome: accountapi.Outcome{Refusal: fault.New(fault.Refused, typ, "não")}}
}

func TestSettle(t *testing.T) {
	p := pace{retryMin: 4 * time.Second, retryMax: time.Minute}
	now := time.Now()
	done, unknown := answer{}, answer{err: errors.New("timeout")}
	for name, test := range map[string]struct {
		claim    Claim
		answer   answer
		want     Settlement
		earliest time.Duration // of DueAt, from now
		latest   time.Duration
		outcome  string
	}{
		"done": {
			Claim{Attempt: 1}, done,
			Settlement{Attempt: 1, Status: Charged, Next: 1}, 0, 0, "charged",
		},
		"done at last": {
			Claim{Fee: Fee{Reason: ReasonInsufficientBalance}, Attempt: 7, Unknowns: 3}, done,
			Settlement{Attempt: 7, Status: Charged, Next: 7}, 0, 0, "charged",
		},
		"no balance": {
			Claim{Attempt: 1}, refused("INSUFFICIENT_BALANCE"),
			Settlement{Attempt: 1, Status: Pending, Reason: ReasonInsufficientBalance, Next: 2}, 3 * time.Second, 4 * time.Second, "refused",
		},
		"no balance after lost answers": {
			Claim{Attempt: 2, Unknowns: 5}, refused("INSUFFICIENT_BALANCE"),
			Settlement{Attempt: 2, Status: Pending, Reason: ReasonInsufficientBalance, Next: 3}, 6 * time.Second, 8 * time.Second, "refused",
		},
		"no balance for long": {
			Claim{Attempt: 1000}, refused("INSUFFICIENT_BALANCE"),
			Settlement{Attempt: 1000, Status: Pending, Reason: ReasonInsufficientBalance, Next: 1001}, 45 * time.Second, time.Minute, "refused",
		},
		"inactive": {
			Claim{Attempt: 1}, refused("INACTIVE_ACCOUNT"),
			Settlement{Attempt: 1, Status: Waived, Reason: ReasonInactiveAccount, Next: 1}, 0, 0, "waived",
		},
		"no account": {
			Claim{Attempt: 3}, refused("INVALID_ACCOUNT"),
			Settlement{Attempt: 3, Status: Waived, Reason: ReasonUnknownAccount, Next: 3}, 0, 0, "waived",
		},
		"a refusal of the future": {
			Claim{Attempt: 1}, refused("SOMETHING_NEW"),
			Settlement{Attempt: 1, Status: Waived, Reason: "SOMETHING_NEW", Next: 1}, 0, 0, "waived",
		},
		"unknown": {
			Claim{Attempt: 1}, unknown,
			Settlement{Attempt: 1, Status: Pending, Next: 1, Unknowns: 1}, 150 * time.Millisecond, 200 * time.Millisecond, "unknown",
		},
		"unknown again": {
			Claim{Fee: Fee{Reason: ReasonInsufficientBalance}, Attempt: 2, Unknowns: 2}, unknown,
			Settlement{Attempt: 2, Status: Pending, Reason: ReasonInsufficientBalance, Next: 2, Unknowns: 3}, 600 * time.Millisecond, 800 * time.Millisecond, "unknown",
		},
		"unknown for long": {
			Claim{Attempt: 1, Unknowns: 1_000_000}, unknown,
			Settlement{Attempt: 1, Status: Pending, Next: 1, Unknowns: 1_000_001}, 22500 * time.Millisecond, 30 * time.Second, "unknown",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 { // the jitter is random
				got := p.settle(test.claim, test.answer, now)
				wait := got.DueAt.Sub(now)
				if wait < test.earliest || wait > test.latest {
					t.Errorf("due in %s, want %s to %s", wait, test.earliest, test.latest)
				}
				got.DueAt = time.Time{}
				if got != test.want {
					t.Errorf("got %+v, want %+v", got, test.want)
				}
				if latest := (Config{RetryMax: p.retryMax}).LatestDue(now); now.Add(wait).After(latest) {
					t.Errorf("due in %s, would be recalled", wait)
				}
				if got.outcome() != test.outcome {
					t.Errorf("outcome %s, want %s", got.outcome(), test.outcome)
				}
			}
		})
	}
}

// Whatever FEE_RETRY_MAX is, no lease and no pause after an unknown outcome is recalled.
func TestLatestDue(t *testing.T) {
	now := time.Now()
	for retryMax, want := range map[time.Duration]time.Duration{
		time.Second: 30*time.Second + 5*time.Minute, time.Hour: time.Hour + 5*time.Minute,
	} {
		if got := (Config{RetryMax: retryMax}).LatestDue(now).Sub(now); got != want {
			t.Errorf("%s: got %s, want %s", retryMax, got, want)
		}
	}
}

func TestGrow(t *testing.T) {
	for _, test := range []struct {
		least, most time.Duration
		times       int
		want        time.Duration
	}{
		{5, 100, 0, 5}, {5, 100, 1, 10}, {5, 100, 4, 80}, {5, 100, 5, 100}, {5, 100, 1 << 40, 100},
		{5, 5, 0, 5}, {5, 5, 9, 5}, {1, 1<<63 - 1, 200, 1<<63 - 1},
	} {
		if got := grow(test.least, test.most, test.times); got != test.want {
			t.Errorf("grow(%d, %d, %d) = %d, want %d", test.least, test.most, test.times, got, test.want)
		}
	}
}

// The keys are part of the contract with the ledger, for ever: it remembers them.
func TestRequestID(t *testing.T) {
	for attempt, want := range map[int]string{1: "t1:fee", 2: "t1:fee:2", 3: "t1:fee:3", 10: "t1:fee:10"} {
		c := Claim{Fee: Fee{TransferID: "t1"}, Attempt: attempt}
		if got := c.requestID(); got != want {
			t.Errorf("attempt %d: got %q, want %q", attempt, got, want)
		}
	}
}
