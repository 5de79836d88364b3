package service_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/bankmore/bankmore/platform/ratelimit"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/telemetry"
	"github.com/bankmore/bankmore/platform/web"
)

// collected takes spans by OTLP, as a collector does. It returns their names, each after the name of its service.
func collected(t *testing.T) (url string, names func() []string) {
	var mu sync.Mutex
	var all []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var request collector.ExportTraceServiceRequest
		body, err := io.ReadAll(r.Body)
		if err != nil || proto.Unmarshal(body, &request) != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s is no export: %v", r.URL.Path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, resource := range request.GetResourceSpans() {
			name := ""
			for _, a := range resource.GetResource().GetAttributes() {
				if a.GetKey() == "service.name" {
					name = a.GetValue().GetStringValue()
				}
			}
			for _, scope := range resource.GetScopeSpans() {
				for _, span := range scope.GetSpans() {
					all = append(all, name+" "+span.GetName())
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// serveOne runs a service until it has answered one request, and until it has ended.
func serveOne(t *testing.T) (tracing bool, err error) {
	t.Helper()
	s, url := thing(t, new(ownConfig), func(*sqldb.DB, *sidecar.Client, *ratelimit.Customers) (service.Wiring, error) {
		tracing = telemetry.Tracing()
		router := web.NewRouter()
		router.Get("/things", func(http.ResponseWriter, *http.Request) {})
		return service.Wiring{Router: router}, nil
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, io.Discard, io.Discard, "serve") }()
	for {
		select {
		case err := <-ended:
			stop()
			return tracing, err
		case <-time.After(10 * time.Millisecond):
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/things", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			stop()
			return tracing, <-ended
		}
	}
}

// The variables of OpenTelemetry switch tracing on. A service that ends has exported its spans.
func TestTracing(t *testing.T) {
	url, names := collected(t)
	for _, test := range []struct {
		name string
		env  map[string]string
		want []string
	}{
		{"by default", nil, nil},
		{"the endpoint", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url}, []string{"thing-svc GET /things"}},
		{"another name", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_SERVICE_NAME": "other"}, []string{"other GET /things"}},
		{"a sampler", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_TRACES_SAMPLER": "always_off"}, []string{}},
		{"no exporter", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_TRACES_EXPORTER": "none"}, nil},
		{"switched off", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_SDK_DISABLED": "true"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			before := len(names())
			tracing, err := serveOne(t)
			if err != nil || tracing != (test.want != nil) || telemetry.Tracing() {
				t.Errorf("tracing %v while it serves, %v afterwards, %v", tracing, telemetry.Tracing(), err)
			}
			if got := names()[before:]; !slices.Equal(got, test.want) {
				t.Errorf("spans %q, want %q", got, test.want)
			}
		})
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "pigeon")
	if _, err := serveOne(t); err == nil {
		t.Error("a protocol that nobody speaks is no error")
	}
}

// A collector that is away does not hold up a service that ends.
func TestCollectorAway(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	began := time.Now()
	if tracing, err := serveOne(t); err != nil || !tracing || time.Since(began) > 10*time.Second {
		t.Errorf("tracing %v, %v, after %s", tracing, err, time.Since(began))
	}
}
