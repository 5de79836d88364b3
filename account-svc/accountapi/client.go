package accountapi

import (
	"context"
	"fmt"
	"time"

	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/fault"
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

// NewClient returns a client over invoker. Two calls may be in flight: while one waits for the ledger's commit, the next is
// on its way. If account-svc answers a call with an error, the client repeats the call in parts.
func NewClient(invoker Invoker) *Client {
	call := func(ctx context.Context, commands []Movement) ([]MovementResult, error) {
		var out MovementResults
		if err := invoker.Invoke(ctx, AppID, MovementsPath, Movements{Commands: commands}, &out); err != nil {
			return nil, err
		}
		return out.Results, nil
	}
	return &Client{invoker: invoker, calls: batch.NewDivisible(call, func(m Movement) string { return m.RequestID },
		batch.Options{MaxItems: MaxMovements, MaxFlights: 2, Timeout: flightTimeout})}
}

// Close waits for the calls in flight.
func (c *Client) Close() { c.calls.Close() }

// Outcome is a definitive answer: done, or refused for ever.
type Outcome struct {
	Refusal  *fault.Error // nil: the movement is in the ledger
	Replayed bool         // the ledger had decided it before
}

// Move applies one movement. It returns one of three answers: done, a definitive refusal, or an error. After an error the
// outcome is unknown, and the caller must send the same movement again.
func (c *Client) Move(ctx context.Context, m Movement) (Outcome, error) {
	result, err := c.calls.Do(ctx, m)
	if err != nil {
		return Outcome{}, err
	}
	switch {
	case result.Status == StatusApplied:
		return Outcome{Replayed: result.Replayed}, nil
	case result.Status == StatusRefused && result.Type != "":
		return Outcome{Refusal: fault.New(fault.Refused, result.Type, result.Message), Replayed: result.Replayed}, nil
	default: // unknown, or a defect on one of the two sides; taking it for a refusal could move money twice
		return Outcome{}, fmt.Errorf("movement %s: status %q, type %q: %s", m.RequestID, result.Status, result.Type, result.Message)
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
		if got := out.Accounts[i].AccountNumber; got != q.AccountNumber {
			return nil, fmt.Errorf("answer %d is about account %s, not %s", i, got, q.AccountNumber)
		}
	}
	return out.Accounts, nil
}
