package traced_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/traced"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/telemetry"
	"github.com/bankmore/bankmore/platform/telemetry/telemetrytest"
)

// queue has one debtor, who owes these fees.
type queue struct {
	fee.Queue
	owed []fee.Claim
}

func (q queue) Claim(context.Context, time.Duration, int) ([]fee.Debtor, error) {
	return []fee.Debtor{{AccountNumber: "18"}}, nil
}

func (q queue) Owed(context.Context, []string, int) ([]fee.Claim, error) { return q.owed, nil }

func (q queue) Settle(_ context.Context, settlements []fee.Settlement, _ []fee.Release) ([]fee.Settlement, error) {
	return settlements, nil
}

// ledger pays all fees but that of transfer 3, of which it gives no answer. It notes in which span each debit comes.
type ledger struct {
	moves map[string]trace.SpanContext
	lock  chan struct{}
}

func (l ledger) Balances(_ context.Context, questions []accountapi.BalanceQuestion) ([]accountapi.Standing, error) {
	return []accountapi.Standing{{AccountNumber: questions[0].AccountNumber, Active: true, Balance: 100000}}, nil
}

func (l ledger) Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error) {
	l.lock <- struct{}{}
	l.moves[m.TransferID] = trace.SpanContextFromContext(ctx)
	<-l.lock
	if m.TransferID == "3" {
		return accountapi.Outcome{}, errors.New("away")
	}
	return accountapi.Outcome{}, nil
}

// A fee is charged in the trace of its transfer. What is done for all fees of a round is part of the first one's trace, and links to the
// others'. A fee without a trace has no span.
func TestFeesAreChargedInTheirTraces(t *testing.T) {
	spans := telemetrytest.Record(t)
	var q queue
	transfers := map[string]trace.SpanContext{}
	for _, id := range []string{"1", "2", "3", "4"} {
		claim := fee.Claim{Attempt: 1, Fee: fee.Fee{ID: "fee " + id, TransferID: id, AccountNumber: "18", Amount: 200, Status: fee.Pending}}
		if id != "1" {
			ctx, span := spans.Start("transfer " + id)
			claim.TraceParent, transfers[id] = telemetry.TraceParent(ctx), span.SpanContext()
			span.End()
		}
		q.owed = append(q.owed, claim)
	}
	l := ledger{map[string]trace.SpanContext{}, make(chan struct{}, 1)}
	collection := traced.NewCollection(q, l)
	if _, err := fee.NewCollector(collection, collection, fee.Config{BalanceInterval: time.Second}, service.NewBell()).Round(t.Context()); err == nil {
		t.Error("a lost answer is no error")
	}
	if l.moves["1"].IsValid() || len(l.moves) != 4 {
		t.Errorf("debits in %v", l.moves)
	}
	charges := spans.Named("charge fee")
	if len(charges) != 3 {
		t.Fatalf("spans %q", spans.Names())
	}
	for id, transfer := range transfers {
		i := slices.IndexFunc(charges, func(s sdktrace.ReadOnlySpan) bool {
			return s.SpanContext().SpanID() == l.moves[id].SpanID()
		})
		if i < 0 || charges[i].Parent().SpanID() != transfer.SpanID() || (charges[i].Status().Code == codes.Error) != (id == "3") {
			t.Errorf("transfer %s: its fee is charged in the span %v", id, l.moves[id])
		}
	}
	for _, name := range []string{"ask for balances", "settle fees"} {
		span := spans.One(name)
		want := []trace.SpanID{transfers["3"].SpanID(), transfers["4"].SpanID()}
		if span.Parent().SpanID() != transfers["2"].SpanID() || !slices.Equal(telemetrytest.Links(span), want) {
			t.Errorf("%s: parent %v, links %v", name, span.Parent(), span.Links())
		}
	}
}
