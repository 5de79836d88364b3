package accountapi

import (
	"context"
	"fmt"
	"time"

	"github.com/bankmore/bankmore/platform/batch"
)

// Invoker is Dapr service invocation.
type Invoker interface {
	Invoke(ctx context.Context, appID, path string, in, out any) error
}

// Client sends movements to the ledger and asks for balances. Movements that arrive together share one call.
type Client struct {
	invoker Invoker
	calls   *batch.Batcher[Movement, MovementResult]
}

// flightTimeout bounds one call. The outcome of a call that takes longer is unknown.
const flightTimeout = 5 * time.Second

// hold is how long a call keeps another from leaving beside it. A call takes a few milliseconds. One that takes longer may have
// met a locked account, or a replica that hangs. Then other movements leave in a second call.
const hold = 25 * time.Millisecond

// NewClient returns a client over invoker. Two calls may be in flight, the second only if the first takes long. If account-svc
// answers a call with an error, the client repeats the call in parts.
func NewClient(invoker Invoker) *Client {
	call := func(ctx context.Context, commands []Movement) ([]MovementResult, error) {
		var out MovementResults
		if err := invoker.Invoke(ctx, AppID, MovementsPath, Movements{Commands: commands}, &out); err != nil {
			return nil, err
		}
		return out.Results, nil
	}
	return &Client{invoker: invoker, calls: batch.NewDivisible(call, func(m Movement) string { return m.RequestID },
		batch.Options{Name: "send movements", MaxItems: MaxMovements, MaxFlights: 2, Hold: hold, Timeout: flightTimeout})}
}

// Close waits for the calls in flight.
func (c *Client) Close() { c.calls.Close() }

// Outcome is a definitive answer: done, or refused for ever.
type Outcome struct {
	Refusal  *Refusal // nil: the movement is in the ledger
	Replayed bool     // the ledger had decided it before
	// Then is the definitive answer to Movement.Then. It is nil if the ledger has not decided that movement, or if its answer
	// is not definitive. Unless this movement was refused, the caller then sends that one alone.
	Then *Outcome
}

// Move applies one movement, and its Then. It returns one of three answers: done, a definitive refusal, or an error. After an
// error the outcome of both is unknown, and the caller must send the same movement again.
func (c *Client) Move(ctx context.Context, m Movement) (Outcome, error) {
	result, err := c.calls.Do(ctx, m)
	if err != nil {
		return Outcome{}, err
	}
	outcome, err := result.Outcome()
	if err != nil {
		return Outcome{}, fmt.Errorf("movement %s: %w", m.RequestID, err)
	}
	return outcome, nil
}

// Outcome returns the definitive outcome that r tells of. It returns an error if r tells of none: then the outcome is
// unknown, or one of the two sides has a defect. Taking that for a refusal could move money twice. If only r.Then tells of
// none, the outcome has no Then.
func (r MovementResult) Outcome() (Outcome, error) {
	switch {
	case r.Status == StatusApplied:
		outcome := Outcome{Replayed: r.Replayed}
		if r.Then != nil {
			if then, err := r.Then.Outcome(); err == nil {
				outcome.Then = &then
			}
		}
		return outcome, nil
	case r.Status == StatusRefused && r.Type != "":
		return Outcome{Refusal: &Refusal{r.Type, r.Message}, Replayed: r.Replayed}, nil
	default:
		return Outcome{}, fmt.Errorf("status %q, type %q: %s", r.Status, r.Type, r.Message)
	}
}

// Balances asks what accounts have: at most MaxBalances accounts, with at most MaxBalanceKeys request ids. It returns one
// standing per question, in order. After an error nothing is known about any of the accounts.
func (c *Client) Balances(ctx context.Context, questions []BalanceQuestion) ([]Standing, error) {
	ctx, cancel := context.WithTimeout(ctx, flightTimeout)
	defer cancel()
	var out BalanceResults
	if err := c.invoker.Invoke(ctx, AppID, BalancesPath, Balances{Accounts: questions}, &out); err != nil {
		return nil, err
	}
	if len(out.Accounts) != len(questions) {
		return nil, fmt.Errorf("asked about %d accounts, got %d answers", len(questions), len(out.Accounts))
	}
	for i, q := range questions {
		if out.Accounts[i].AccountNumber != q.AccountNumber {
			return nil, fmt.Errorf("answer %d is about another account", i) // a log holds no account number
		}
	}
	return out.Accounts, nil
}
