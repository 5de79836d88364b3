package fee

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
)

func refused(typ string) answer {
	return answer{outcome: accountapi.Outcome{Refusal: &accountapi.Refusal{Type: typ, Message: "não"}}}
}

func TestSettle(t *testing.T) {
	done, unknown := answer{}, answer{err: errors.New("timeout")}
	for name, test := range map[string]struct {
		claim   Claim
		answer  answer
		want    Settlement
		outcome string
	}{
		"done":         {Claim{Attempt: 1}, done, Settlement{Attempt: 1, Status: Charged, Next: 1}, "charged"},
		"done at last": {Claim{Fee: Fee{Reason: ReasonInsufficientBalance}, Attempt: 7, Unknowns: 3}, done, Settlement{Attempt: 7, Status: Charged, Next: 7}, "charged"},
		"no balance": {
			Claim{Attempt: 1}, refused(accountapi.TypeInsufficientBalance),
			Settlement{Attempt: 1, Status: Pending, Reason: ReasonInsufficientBalance, Next: 2}, "refused",
		},
		"no balance after lost answers": {
			Claim{Attempt: 2, Unknowns: 5}, refused(accountapi.TypeInsufficientBalance),
			Settlement{Attempt: 2, Status: Pending, Reason: ReasonInsufficientBalance, Next: 3}, "refused",
		},
		"inactive":   {Claim{Attempt: 1}, refused(accountapi.TypeInactiveAccount), Settlement{Attempt: 1, Status: Waived, Reason: ReasonInactiveAccount, Next: 1}, "waived"},
		"no account": {Claim{Attempt: 3}, refused(accountapi.TypeUnknownAccount), Settlement{Attempt: 3, Status: Waived, Reason: ReasonUnknownAccount, Next: 3}, "waived"},
		"a refusal of the future": {
			Claim{Attempt: 1}, refused("SOMETHING_NEW"), Settlement{Attempt: 1, Status: Waived, Reason: "SOMETHING_NEW", Next: 1}, "waived",
		},
		"unknown": {Claim{Attempt: 1}, unknown, Settlement{Attempt: 1, Status: Pending, Next: 1, Unknowns: 1}, "unknown"},
		"unknown again": {
			Claim{Fee: Fee{Reason: ReasonInsufficientBalance}, Attempt: 2, Unknowns: 2}, unknown,
			Settlement{Attempt: 2, Status: Pending, Reason: ReasonInsufficientBalance, Next: 2, Unknowns: 3}, "unknown",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := settle(test.claim, test.answer)
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if got.Outcome() != test.outcome {
				t.Errorf("outcome %s, want %s", got.Outcome(), test.outcome)
			}
		})
	}
}

// plan chooses as many fees as the balance covers, oldest first, and those whose key the ledger has decided already.
func TestPlan(t *testing.T) {
	claims := []Claim{
		{Fee: Fee{TransferID: "a", Amount: 200}, Attempt: 1}, {Fee: Fee{TransferID: "b", Amount: 500}, Attempt: 3},
		{Fee: Fee{TransferID: "c", Amount: 100}, Attempt: 1},
	}
	for name, test := range map[string]struct {
		standing accountapi.Standing
		want     string
		short    bool
	}{
		"enough":                  {accountapi.Standing{Active: true, Balance: 800}, "a b c", false},
		"not enough for the last": {accountapi.Standing{Active: true, Balance: 799}, "a b", true},
		"none before an older":    {accountapi.Standing{Active: true, Balance: 699}, "a", true},
		"nothing":                 {accountapi.Standing{Active: true, Balance: 199}, "", true},
		"decided before":          {accountapi.Standing{Active: true, Balance: 200, Decided: []string{"a:fee", "b:fee:3"}}, "a b c", false},
		"decided, and no balance": {accountapi.Standing{Active: true, Decided: []string{"b:fee:3"}}, "b", true},
		"another attempt decided": {accountapi.Standing{Active: true, Decided: []string{"b:fee", "b:fee:2"}}, "", true},
		"closed":                  {accountapi.Standing{}, "a b c", false},
	} {
		t.Run(name, func(t *testing.T) {
			var c collection
			c.plan(claims, test.standing)
			var tries []string
			for _, claim := range c.tries {
				tries = append(tries, claim.TransferID)
			}
			if got := strings.Join(tries, " "); got != test.want || c.short != test.short || len(c.answers) != len(c.tries) {
				t.Errorf("got %q, short %t, %d answers", got, c.short, len(c.answers))
			}
		})
	}
}

// release says when a debtor is due again. The debtor's first fee is at attempt 1, with some unknown outcomes.
func TestRelease(t *testing.T) {
	const interval = 20 * time.Second
	until := time.Now()
	done, unknown := answer{}, answer{err: errors.New("timeout")}
	replayed := refused(accountapi.TypeInsufficientBalance)
	replayed.outcome.Replayed = true
	for name, test := range map[string]struct {
		short    bool
		unknowns int
		answers  []answer
		waits    bool
		least    time.Duration // of the pause
		most     time.Duration
		owesMore bool
	}{
		"nothing owed":              {false, 0, nil, false, 0, 0, false},
		"all charged":               {false, 0, []answer{done, done}, false, 0, 0, false},
		"some charged":              {true, 0, []answer{done}, true, 0, 0, true},
		"no balance":                {true, 0, nil, true, 15 * time.Second, interval, true},
		"refused":                   {false, 0, []answer{refused(accountapi.TypeInsufficientBalance)}, true, 15 * time.Second, interval, true},
		"one charged, one refused":  {false, 0, []answer{done, refused(accountapi.TypeInsufficientBalance)}, true, 0, 0, true},
		"a refusal replayed":        {false, 0, []answer{replayed}, false, 0, 0, true},
		"replayed, and no balance":  {true, 0, []answer{replayed}, true, 0, 0, true},
		"waived":                    {false, 0, []answer{refused(accountapi.TypeInactiveAccount)}, false, 0, 0, false},
		"unknown":                   {false, 0, []answer{unknown}, false, 150 * time.Millisecond, 200 * time.Millisecond, true},
		"unknown beside charged":    {false, 0, []answer{unknown, done}, false, 150 * time.Millisecond, 200 * time.Millisecond, true},
		"unknown again":             {false, 2, []answer{unknown}, false, 600 * time.Millisecond, 800 * time.Millisecond, true},
		"unknown for long":          {true, 1_000_000, []answer{unknown}, true, 22500 * time.Millisecond, 30 * time.Second, true},
		"unknown beside no balance": {true, 0, []answer{unknown}, true, 150 * time.Millisecond, 200 * time.Millisecond, true},
		"unknown beside a refusal":  {false, 0, []answer{unknown, refused(accountapi.TypeInsufficientBalance)}, true, 150 * time.Millisecond, 200 * time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 { // the jitter is random
				c := collection{debtor: Debtor{AccountNumber: "18", Until: until}, short: test.short, answers: test.answers}
				for range test.answers {
					c.tries = append(c.tries, Claim{Attempt: 1, Unknowns: test.unknowns})
				}
				got := c.release(c.settle(), interval)
				if got.Pause < test.least || got.Pause > test.most {
					t.Errorf("due in %s, want %s to %s", got.Pause, test.least, test.most)
				}
				got.Pause = 0
				if want := (Release{AccountNumber: "18", Until: until, Waits: test.waits}); got != want || c.owesMore != test.owesMore {
					t.Errorf("got %+v, owes more %t", got, c.owesMore)
				}
			}
		})
	}
}

// If the ledger does not answer for a debtor, Waits stays as it was, and the collector asks again soon.
func TestReleaseUnanswered(t *testing.T) {
	for _, waits := range []bool{false, true} {
		c := collection{debtor: Debtor{AccountNumber: "18", Waits: waits}, found: Unanswered}
		got := c.release(nil, time.Minute)
		if got.Waits != waits || got.Pause < 750*time.Millisecond || got.Pause > time.Second {
			t.Errorf("waits %t: %+v", waits, got)
		}
	}
}

func TestShare(t *testing.T) {
	for debtors, want := range map[int]int{1: 32, 8: 32, 9: 28, 100: 2, 128: 2, 129: 1, 256: 1} {
		if got := share(debtors); got != want || got*debtors > accountapi.MaxBalanceKeys || got*debtors > 256 {
			t.Errorf("%d debtors: %d fees of each", debtors, got)
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

// The ledger keeps request ids for ever, so their form must never change.
func TestRequestID(t *testing.T) {
	for attempt, want := range map[int]string{1: "t1:fee", 2: "t1:fee:2", 3: "t1:fee:3", 10: "t1:fee:10"} {
		c := Claim{Fee: Fee{TransferID: "t1"}, Attempt: attempt}
		if got := c.requestID(); got != want {
			t.Errorf("attempt %d: got %q, want %q", attempt, got, want)
		}
	}
}
