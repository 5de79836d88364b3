package telemetry_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/bankmore/bankmore/platform/telemetry"
	"github.com/bankmore/bankmore/platform/telemetry/telemetrytest"
)

// spanOf returns the span context of a trace and a span, each named by a digit.
func spanOf(traceDigit, spanDigit byte, sampled bool) oteltrace.SpanContext {
	flags := oteltrace.TraceFlags(0).WithSampled(sampled)
	return oteltrace.NewSpanContext(oteltrace.SpanContextConfig{
		TraceID: oteltrace.TraceID{traceDigit}, SpanID: oteltrace.SpanID{spanDigit}, TraceFlags: flags,
	})
}

func TestJoint(t *testing.T) {
	one, two, three := spanOf(1, 1, true), spanOf(2, 2, true), spanOf(3, 3, true)
	for _, test := range []struct {
		name   string
		own    oteltrace.SpanContext // of the context
		spans  []oteltrace.SpanContext
		parent oteltrace.SpanContext // not valid: there is no span
		links  []oteltrace.SpanContext
	}{
		{name: "nobody's"},
		{name: "of one that is not sampled", spans: []oteltrace.SpanContext{spanOf(1, 1, false)}},
		{name: "of its own context only", own: one},
		{name: "of one", spans: []oteltrace.SpanContext{one}, parent: one},
		{name: "of one, twice", spans: []oteltrace.SpanContext{one, one}, parent: one},
		{name: "of three", spans: []oteltrace.SpanContext{one, two, three, two}, parent: one, links: []oteltrace.SpanContext{two, three}},
		{name: "of three, the first not sampled", spans: []oteltrace.SpanContext{spanOf(4, 4, false), two, three}, parent: two,
			links: []oteltrace.SpanContext{three}},
		{name: "of two, in the trace of the second", own: spanOf(2, 9, true), spans: []oteltrace.SpanContext{one, two}, parent: spanOf(2, 9, true),
			links: []oteltrace.SpanContext{one, two}},
		{name: "of two, in the span of the second", own: two, spans: []oteltrace.SpanContext{one, two}, parent: two,
			links: []oteltrace.SpanContext{one}},
		{name: "of two, in a third trace", own: three, spans: []oteltrace.SpanContext{one, two}, parent: one, links: []oteltrace.SpanContext{two}},
	} {
		t.Run(test.name, func(t *testing.T) {
			spans := telemetrytest.Record(t)
			before := oteltrace.ContextWithRemoteSpanContext(t.Context(), test.own)
			ctx, span := telemetry.Joint(before, "joint", test.spans)
			span.End()
			if !test.parent.IsValid() {
				if ctx != before || len(spans.Names()) != 0 {
					t.Errorf("there is a span: %q", spans.Names())
				}
				return
			}
			got := spans.One("joint")
			if got.Parent().SpanID() != test.parent.SpanID() || got.SpanContext().TraceID() != test.parent.TraceID() {
				t.Errorf("parent %v, want %v", got.Parent(), test.parent)
			}
			if oteltrace.SpanContextFromContext(ctx).SpanID() != got.SpanContext().SpanID() {
				t.Error("the context does not carry the span")
			}
			var want []oteltrace.SpanID
			for _, link := range test.links {
				want = append(want, link.SpanID())
			}
			if links := telemetrytest.Links(got); !slices.Equal(links, want) {
				t.Errorf("links %v, want %v", links, want)
			}
		})
	}
}

// While nothing is recorded, sampled spans of others begin none here.
func TestNothingIsRecordedByDefault(t *testing.T) {
	ctx := telemetry.Propagator.Extract(t.Context(), propagation.MapCarrier{"traceparent": trace})
	joint, span := telemetry.Joint(ctx, "joint", []oteltrace.SpanContext{oteltrace.SpanContextFromContext(ctx)})
	span.End()
	if telemetry.Tracing() || joint != ctx || span.IsRecording() || telemetry.Recorded(ctx) || telemetry.TraceParent(ctx) != "" {
		t.Error("something is recorded")
	}
}

func TestTraceParent(t *testing.T) {
	spans := telemetrytest.Record(t)
	ctx, span := spans.Start("mine")
	back := telemetry.SpanOf(telemetry.TraceParent(ctx))
	if back.SpanID() != span.SpanContext().SpanID() || back.TraceID() != span.SpanContext().TraceID() || !back.IsSampled() {
		t.Errorf("%v became %v", span.SpanContext(), back)
	}
	span.End()
	if got := telemetry.TraceParent(context.Background()); got != "" {
		t.Errorf("without a span: %q", got)
	}
	for _, text := range []string{"", "garbage", "00-00000000000000000000000000000000-0000000000000000-01", trace[:40]} {
		if telemetry.SpanOf(text).IsValid() {
			t.Errorf("%q is a span", text)
		}
	}
}

func TestEnd(t *testing.T) {
	spans := telemetrytest.Record(t)
	_, good := spans.Start("good")
	telemetry.End(good, nil)
	_, bad := spans.Start("bad")
	telemetry.End(bad, errors.New("away"))
	if got := spans.One("good").Status(); got.Code != codes.Unset {
		t.Errorf("good: %v", got)
	}
	if got := spans.One("bad").Status(); got.Code != codes.Error || got.Description != "away" {
		t.Errorf("bad: %v", got)
	}
}
