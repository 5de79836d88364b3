package service

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/bankmore/bankmore/platform/telemetry"
)

// The variable that switches tracing on, and the one that switches off all that OpenTelemetry does. OpenTelemetry's libraries read
// the others: exporter, protocol, headers, sampler, limits, the service's name (docs/adr/0056).
const (
	tracesEndpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	otelDisabled   = "OTEL_SDK_DISABLED"
)

const (
	// flushTimeout is how long the spans that wait to be exported may hold up the end of a service.
	flushTimeout = 3 * time.Second
	// longestAttribute bounds the text of an attribute, in bytes, such as a statement's for hundreds of rows. OpenTelemetry sets no bound.
	longestAttribute = 1024
)

// startTracing makes this process record spans and export them under the name of a service, if the environment says where to. stop
// exports those that wait.
func startTracing(ctx context.Context, name string) (stop func(), err error) {
	if os.Getenv(tracesEndpoint) == "" || os.Getenv(otelDisabled) == "true" {
		return func() {}, nil
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { slog.Warn("tracing", "error", err) }))
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	if autoexport.IsNoneSpanExporter(exporter) {
		return func() {}, nil
	}
	described, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName(name), semconv.ServiceVersion(Version())), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	limits := sdktrace.NewSpanLimits()
	if limits.AttributeValueLengthLimit < 0 {
		limits.AttributeValueLengthLimit = longestAttribute
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described), sdktrace.WithRawSpanLimits(limits))
	telemetry.Trace(provider)
	return func() {
		telemetry.Trace(nil)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			slog.WarnContext(ctx, "tracing: the last spans are lost", "error", err)
		}
	}, nil
}
