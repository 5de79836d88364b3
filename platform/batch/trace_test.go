package batch_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/telemetry/telemetrytest"
)

// A flight has a span. It is part of its first call's trace, and it and the spans of the calls of other traces link to each other.
func TestFlightsAreTraced(t *testing.T) {
	spans := telemetrytest.Record(t)
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		var inFlight []trace.SpanID
		b := batch.New(func(ctx context.Context, in []int) ([]int, error) {
			inFlight = append(inFlight, trace.SpanContextFromContext(ctx).SpanID())
			return g.run(ctx, in)
		}, batch.Options{Name: "double"})
		var answered sync.WaitGroup
		call := func(ctx context.Context, numbers ...int) {
			answered.Go(func() {
				if _, errs := b.DoAll(ctx, numbers); errors.Join(errs...) != nil {
					t.Error(errs)
				}
			})
			synctest.Wait()
		}
		ana, anas := spans.Start("ana")
		bia, bias := spans.Start("bia")
		cid, cids := spans.Start("cid")
		call(ana, 1) // leaves alone
		call(t.Context(), 2)
		call(bia, 3, 4)
		call(cid, 5)
		call(bia, 6)
		for range 2 {
			g.land <- struct{}{}
			synctest.Wait()
		}
		answered.Wait()
		for _, span := range []trace.Span{anas, bias, cids} {
			span.End()
		}
		flights := spans.Named("double")
		if len(flights) != 2 {
			t.Fatalf("spans %q", spans.Names())
		}
		lone, joint := flights[0], flights[1]
		if lone.Parent().SpanID() != anas.SpanContext().SpanID() || len(lone.Links()) != 0 || len(spans.One("ana").Links()) != 0 {
			t.Errorf("a lone call: parent %v, links %v and %v", lone.Parent(), lone.Links(), spans.One("ana").Links())
		}
		if joint.Parent().SpanID() != bias.SpanContext().SpanID() {
			t.Errorf("parent %v, want the first call that has a trace", joint.Parent())
		}
		if got := telemetrytest.Links(joint); !slices.Equal(got, []trace.SpanID{cids.SpanContext().SpanID()}) {
			t.Errorf("the flight links to %v", got)
		}
		if got := telemetrytest.Links(spans.One("cid")); !slices.Equal(got, []trace.SpanID{joint.SpanContext().SpanID()}) {
			t.Errorf("the call of another trace links to %v", got)
		}
		if got := telemetrytest.Links(spans.One("bia")); len(got) != 0 {
			t.Errorf("the call whose trace the flight is part of links to %v", got)
		}
		if !slices.Contains(joint.Attributes(), attribute.Int("batch.items", 5)) {
			t.Errorf("attributes %v", joint.Attributes())
		}
		if want := []trace.SpanID{lone.SpanContext().SpanID(), joint.SpanContext().SpanID()}; !slices.Equal(inFlight, want) {
			t.Errorf("the work was done in %v, want %v", inFlight, want)
		}
	})
}

// The span of a flight that fails tells of it. A call that nobody traces has no span.
func TestFailedAndUntracedFlights(t *testing.T) {
	spans := telemetrytest.Record(t)
	b := batch.New(func(_ context.Context, _ []int) ([]int, error) { return nil, errors.New("away") }, batch.Options{})
	ctx, span := spans.Start("caller")
	for _, ctx := range []context.Context{ctx, t.Context()} {
		if _, err := b.Do(ctx, 1); err == nil {
			t.Error("no error")
		}
	}
	span.End()
	if got := spans.One("batch").Status(); got.Code != codes.Error || got.Description != "away" {
		t.Errorf("status %v", got)
	}
}
