package sidecar_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/telemetry/telemetrytest"
)

// A call that is part of a recorded trace has a span, with which the sidecar goes on. A call that nobody traces, such as a poll, begins
// no trace.
func TestInvocationsAreTraced(t *testing.T) {
	spans := telemetrytest.Record(t)
	var traceParent string
	client := over(t, "", func(w http.ResponseWriter, r *http.Request) {
		traceParent = r.Header.Get("traceparent")
		_, _ = io.WriteString(w, "{}")
	})
	ctx, caller := spans.Start("caller")
	for _, ctx := range []context.Context{t.Context(), ctx} {
		var out struct{}
		if err := client.Invoke(ctx, "thing-svc", "/internal/things", struct{}{}, &out); err != nil {
			t.Fatal(err)
		}
	}
	span := spans.One("POST /internal/things")
	if span.Parent().SpanID() != caller.SpanContext().SpanID() || span.SpanKind() != trace.SpanKindClient ||
		!strings.Contains(traceParent, span.SpanContext().SpanID().String()) {
		t.Errorf("parent %v, kind %v, sent on as %q", span.Parent(), span.SpanKind(), traceParent)
	}
}

// The same holds for calls by gRPC. An event carries the trace that it is part of, which is not the publishing's.
func TestPublishingIsTraced(t *testing.T) {
	spans := telemetrytest.Record(t)
	dapr := &fakeDapr{address: "127.0.0.1:0"}
	dapr.start(t)
	defer dapr.server.Stop()
	client, err := sidecar.New(sidecar.Config{HTTPPort: 1, GRPCPort: dapr.port()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const event = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx, caller := spans.Start("caller")
	for _, ctx := range []context.Context{t.Context(), ctx} {
		if _, err := client.Publish(ctx, "pubsub", "things", []sidecar.Event{{ID: "1", TraceParent: event}, {ID: "2"}}); err != nil {
			t.Fatal(err)
		}
	}
	span := spans.One("dapr.proto.runtime.v1.Dapr/BulkPublishEvent")
	if span.Parent().SpanID() != caller.SpanContext().SpanID() || len(spans.Names()) != 1 {
		t.Errorf("parent %v, spans %q", span.Parent(), spans.Names())
	}
	entries := dapr.published[0].GetEntries()
	if entries[0].GetMetadata()["cloudevent.traceparent"] != event {
		t.Errorf("metadata %v", entries[0].GetMetadata())
	}
	if _, ok := entries[1].GetMetadata()["cloudevent.traceparent"]; ok {
		t.Errorf("an event without a trace: %v", entries[1].GetMetadata())
	}
}
