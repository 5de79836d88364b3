// Package telemetry sets up structured logs and carries what every log line shares: request id and trace id. It also has what is
// ours of tracing: how a trace goes on where many of them meet.
package telemetry

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/lmittmann/tint"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/term"
)

// Config chooses the level of the logs.
type Config struct {
	LogLevel slog.Level `env:"LOG_LEVEL" envDefault:"INFO"`
}

// Setup makes the process's logger: JSON lines, or a readable form if out is a terminal.
func Setup(out *os.File, name string, level slog.Level) {
	var handler slog.Handler
	if term.IsTerminal(int(out.Fd())) {
		handler = tint.NewTextHandler(out, &tint.Options{Level: level})
	} else {
		handler = jsonHandler(out, level)
	}
	slog.SetDefault(slog.New(contextHandler{handler}).With("service", name))
}

func jsonHandler(out io.Writer, level slog.Level) slog.Handler {
	return slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})
}

// RequestIDHeader carries the id that a caller and our logs share. Every answer of an app has it. An answer without it comes
// from a sidecar or a proxy on the way.
const RequestIDHeader = "X-Request-ID"

type requestIDKey struct{}

// WithRequestID returns a context whose log lines carry id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the request id of ctx, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// contextHandler adds the request id and the trace id of a context to each record.
type contextHandler struct{ slog.Handler }

func (h contextHandler) Handle(ctx context.Context, record slog.Record) error {
	if id := RequestID(ctx); id != "" {
		record.AddAttrs(slog.String("request_id", id))
	}
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		record.AddAttrs(slog.String("trace_id", span.TraceID().String()))
	}
	return h.Handler.Handle(ctx, record)
}

func (h contextHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return contextHandler{h.Handler.WithAttrs(attrs)}
}

func (h contextHandler) WithGroup(name string) slog.Handler {
	return contextHandler{h.Handler.WithGroup(name)}
}
