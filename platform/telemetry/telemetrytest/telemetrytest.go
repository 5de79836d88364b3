// Package telemetrytest lets tests see the spans and the metrics of the code that they run.
package telemetrytest

import (
	"context"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/bankmore/bankmore/platform/telemetry"
)

// Spans are those that have ended since Record.
type Spans struct {
	t        *testing.T
	recorder *tracetest.SpanRecorder
	provider *sdktrace.TracerProvider
}

// Record records all spans of this process until the test ends. Two tests that record must not run at the same time.
func Record(t *testing.T) *Spans {
	s := &Spans{t: t, recorder: tracetest.NewSpanRecorder()}
	s.provider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(s.recorder))
	telemetry.Trace(s.provider)
	t.Cleanup(func() { telemetry.Trace(nil) })
	return s
}

// Start begins a trace, with a span that stands for a caller.
func (s *Spans) Start(name string) (context.Context, trace.Span) {
	return s.provider.Tracer("test").Start(context.Background(), name) // the test may be in a bubble of package synctest, or not
}

// Named returns the ended spans of that name, in the order of their ends.
func (s *Spans) Named(name string) (spans []sdktrace.ReadOnlySpan) {
	for _, span := range s.recorder.Ended() {
		if span.Name() == name {
			spans = append(spans, span)
		}
	}
	return spans
}

// One returns the only ended span of that name.
func (s *Spans) One(name string) sdktrace.ReadOnlySpan {
	s.t.Helper()
	spans := s.Named(name)
	if len(spans) != 1 {
		s.t.Fatalf("%d spans are called %q, among %q", len(spans), name, s.Names())
	}
	return spans[0]
}

// Names returns the names of all ended spans.
func (s *Spans) Names() (names []string) {
	for _, span := range s.recorder.Ended() {
		names = append(names, span.Name())
	}
	return names
}

// Links returns what a span links to.
func Links(span sdktrace.ReadOnlySpan) (ids []trace.SpanID) {
	for _, link := range span.Links() {
		ids = append(ids, link.SpanContext.SpanID())
	}
	return ids
}
