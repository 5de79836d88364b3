package telemetry_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/propagation"

	"github.com/bankmore/bankmore/platform/telemetry"
)

const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// lines runs write with the logger that Setup makes, and returns the lines that were logged, without times.
func lines(t *testing.T, level slog.Level, write func()) (out []map[string]any) {
	t.Helper()
	before := slog.Default()
	defer slog.SetDefault(before)
	path := filepath.Join(t.TempDir(), "log")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	telemetry.Setup(file, "thing-svc", level)
	write()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var parsed map[string]any
		if err := json.Unmarshal(line, &parsed); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if parsed["time"] == nil {
			t.Errorf("no time in %s", line)
		}
		delete(parsed, "time")
		out = append(out, parsed)
	}
	return out
}

func TestLinesCarryRequestAndTrace(t *testing.T) {
	ctx := telemetry.Propagator.Extract(t.Context(), propagation.MapCarrier{"traceparent": trace})
	ctx = telemetry.WithRequestID(ctx, "request-1")
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	got := lines(t, slog.LevelInfo, func() {
		slog.InfoContext(ctx, "both", "n", 1)
		slog.With("extra", "x").InfoContext(ctx, "with attributes")
		slog.InfoContext(telemetry.WithRequestID(t.Context(), "request-2"), "request only")
		slog.InfoContext(t.Context(), "neither")
		slog.Info("no context\nat all")
		slog.DebugContext(ctx, "too quiet")
	})
	want := []map[string]any{
		{"level": "INFO", "msg": "both", "service": "thing-svc", "n": 1.0, "request_id": "request-1", "trace_id": traceID},
		{"level": "INFO", "msg": "with attributes", "service": "thing-svc", "extra": "x", "request_id": "request-1", "trace_id": traceID},
		{"level": "INFO", "msg": "request only", "service": "thing-svc", "request_id": "request-2"},
		{"level": "INFO", "msg": "neither", "service": "thing-svc"},
		{"level": "INFO", "msg": "no context\nat all", "service": "thing-svc"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestGroupsKeepTheContext(t *testing.T) {
	ctx := telemetry.WithRequestID(t.Context(), "request-1")
	got := lines(t, slog.LevelInfo, func() { slog.Default().WithGroup("group").InfoContext(ctx, "grouped", "n", 1) })
	want := []map[string]any{{
		"level": "INFO", "msg": "grouped", "service": "thing-svc", "group": map[string]any{"n": 1.0, "request_id": "request-1"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLevel(t *testing.T) {
	got := lines(t, slog.LevelWarn, func() {
		slog.Info("quiet")
		slog.Warn("loud")
	})
	if len(got) != 1 || got[0]["msg"] != "loud" {
		t.Errorf("got %v", got)
	}
}

func TestRequestIDWithoutOne(t *testing.T) {
	if got := telemetry.RequestID(context.Background()); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestTraceContextGoesOn(t *testing.T) {
	ctx := telemetry.Propagator.Extract(t.Context(), propagation.MapCarrier{"traceparent": trace, "tracestate": "a=b"})
	out := propagation.MapCarrier{}
	telemetry.Propagator.Inject(ctx, out)
	if diff := cmp.Diff(propagation.MapCarrier{"traceparent": trace, "tracestate": "a=b"}, out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
