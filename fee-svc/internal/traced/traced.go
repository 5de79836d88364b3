// Package traced makes the collection of a fee part of the trace of the fee's transfer: a decorator of the collector's ports.
package traced

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/trace"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/platform/telemetry"
)

// Collection is the queue and the ledger of one collector. The collector learns from the queue what is owed, and then asks the ledger;
// a Collection keeps in between which fee goes on with which trace. A fee that the collector charges has a span in the trace
// of its transfer. What the collector does for all fees of a round at once has a span in one of the traces, with links to the others.
type Collection struct {
	fee.Queue
	fee.Ledger

	mu   sync.Mutex
	owed map[string]trace.SpanContext // of this round, by the id of the transfer
	all  []trace.SpanContext          // the same, the oldest fee first
}

// NewCollection returns the ports of one collector.
func NewCollection(queue fee.Queue, ledger fee.Ledger) *Collection {
	return &Collection{Queue: queue, Ledger: ledger}
}

// Owed implements fee.Queue. A round begins with it.
func (c *Collection) Owed(ctx context.Context, accountNumbers []string, each int) ([]fee.Claim, error) {
	claims, err := c.Queue.Owed(ctx, accountNumbers, each)
	if !telemetry.Tracing() {
		return claims, err
	}
	owed, all := map[string]trace.SpanContext{}, []trace.SpanContext(nil)
	for _, claim := range claims {
		if span := telemetry.SpanOf(claim.TraceParent); span.IsSampled() {
			owed[claim.TransferID], all = span, append(all, span)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owed, c.all = owed, all
	return claims, err
}

// Balances implements fee.Ledger.
func (c *Collection) Balances(ctx context.Context, questions []accountapi.BalanceQuestion) ([]accountapi.Standing, error) {
	ctx, span := telemetry.Joint(ctx, "ask for balances", c.round())
	standings, err := c.Ledger.Balances(ctx, questions)
	telemetry.End(span, err)
	return standings, err
}

// Move implements fee.Ledger.
func (c *Collection) Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error) {
	ctx, span := telemetry.Joint(ctx, "charge fee", c.of(m.TransferID))
	outcome, err := c.Ledger.Move(ctx, m)
	telemetry.End(span, err)
	return outcome, err
}

// Settle implements fee.Queue.
func (c *Collection) Settle(ctx context.Context, settlements []fee.Settlement, releases []fee.Release) ([]fee.Settlement, error) {
	ctx, span := telemetry.Joint(ctx, "settle fees", c.round())
	effective, err := c.Queue.Settle(ctx, settlements, releases)
	telemetry.End(span, err)
	return effective, err
}

// of returns the span that the fee of a transfer goes on with, if it has one.
func (c *Collection) of(transferID string) []trace.SpanContext {
	c.mu.Lock()
	defer c.mu.Unlock()
	if span, ok := c.owed[transferID]; ok {
		return []trace.SpanContext{span}
	}
	return nil
}

// round returns the spans that the fees of this round go on with.
func (c *Collection) round() []trace.SpanContext {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}
