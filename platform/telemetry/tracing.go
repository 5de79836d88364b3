package telemetry

import (
	"context"
	"slices"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Propagator reads and writes W3C trace context (traceparent, tracestate).
var Propagator = propagation.TraceContext{}

var tracing atomic.Bool

// Trace makes provider record the spans of this process. If provider is nil, nobody records spans. Code that wraps something for
// the sake of spans asks Tracing when it starts, so call Trace before.
func Trace(provider trace.TracerProvider) {
	tracing.Store(provider != nil)
	if provider != nil {
		otel.SetTracerProvider(provider)
		otel.SetTextMapPropagator(Propagator)
	}
}

// Tracing reports whether this process records spans.
func Tracing() bool { return tracing.Load() }

// Recorded reports whether this process records the span of ctx.
func Recorded(ctx context.Context) bool { return Tracing() && trace.SpanFromContext(ctx).IsRecording() }

// TraceParent returns the span of ctx as the value of a header traceparent, or "" if this process does not record that span.
func TraceParent(ctx context.Context) string {
	if !Recorded(ctx) {
		return ""
	}
	return Header(trace.SpanContextFromContext(ctx))
}

// Header writes a span as the value of a header traceparent: 55 characters, whatever it was read from.
func Header(span trace.SpanContext) string {
	header := propagation.MapCarrier{}
	Propagator.Inject(trace.ContextWithSpanContext(context.Background(), span), header)
	return header.Get("traceparent")
}

// SpanOf reads the value of a header traceparent. It returns a span context that is not valid if it cannot.
func SpanOf(traceParent string) trace.SpanContext {
	ctx := Propagator.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceParent})
	return trace.SpanContextFromContext(ctx)
}

// Joint starts a span for work that is done for several spans at once, each of which may be of another trace. A span has one parent,
// so it joins one trace, and links to the others: the parent is the span of ctx if it is of one of their traces, or else the
// first of them. Spans that are not sampled don't count. If none is left, there is no new span, and Joint returns ctx as it is.
func Joint(ctx context.Context, name string, spans []trace.SpanContext, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	if !Tracing() {
		spans = nil
	}
	if spans = sampled(spans); len(spans) == 0 {
		return ctx, trace.SpanFromContext(context.Background())
	}
	parent := trace.SpanContextFromContext(ctx)
	if !parent.IsSampled() || !slices.ContainsFunc(spans, func(s trace.SpanContext) bool { return s.TraceID() == parent.TraceID() }) {
		parent = spans[0]
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	}
	for _, s := range spans {
		if s.SpanID() != parent.SpanID() {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: s}))
		}
	}
	return otel.Tracer("github.com/bankmore/bankmore/platform/telemetry").Start(ctx, name, options...)
}

// sampled returns those that are sampled, each once.
func sampled(spans []trace.SpanContext) (distinct []trace.SpanContext) {
	seen := make(map[trace.SpanID]bool, len(spans))
	for _, s := range spans {
		if s.IsValid() && s.IsSampled() && !seen[s.SpanID()] {
			seen[s.SpanID()] = true
			distinct = append(distinct, s)
		}
	}
	return distinct
}

// End ends a span. It tells of err unless err is nil.
func End(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}
