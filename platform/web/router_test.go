package web_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/bankmore/bankmore/platform/telemetry"
	"github.com/bankmore/bankmore/platform/telemetry/telemetrytest"
	"github.com/bankmore/bankmore/platform/web"
)

func TestRequestIDIsEchoedIfSane(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	var inside string
	router := with(func(r *http.Request) (web.Answer, error) {
		inside = telemetry.RequestID(r.Context())
		return web.NoContent(), nil
	})
	for id, sane := range map[string]bool{
		"a": true, "0193-ABC.def_1:2": true, strings.Repeat("x", 128): true,
		"": false, strings.Repeat("x", 129): false, "a b": false, "a\tb": false, `"quoted"`: false, "<script>": false, "é": false, "a,b": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/x", nil)
		r.Header.Set(telemetry.RequestIDHeader, id)
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		got := w.Header().Get(telemetry.RequestIDHeader)
		if got != inside {
			t.Errorf("%q: the answer says %q, the context %q", id, got, inside)
		}
		if sane && got != id {
			t.Errorf("%q was sane, got %q", id, got)
		}
		if !sane && !uuid.MatchString(got) {
			t.Errorf("%q: got %q, want a UUID", id, got)
		}
	}
}

func TestTraceContextReachesTheHandler(t *testing.T) {
	var span trace.SpanContext
	router := with(func(r *http.Request) (web.Answer, error) {
		span = trace.SpanContextFromContext(r.Context())
		return web.NoContent(), nil
	})
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	router.ServeHTTP(httptest.NewRecorder(), r)
	if span.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("trace id %s", span.TraceID())
	}
}

// While spans are recorded, a request that comes with a sampled trace has one, with the name of its route. Other requests have none.
func TestRequestsAreTraced(t *testing.T) {
	spans := telemetrytest.Record(t)
	var inside trace.SpanContext
	router := web.NewRouter()
	router.Get("/things/{id}", func(w http.ResponseWriter, r *http.Request) {
		inside = trace.SpanContextFromContext(r.Context())
		w.WriteHeader(http.StatusTeapot)
	})
	for _, traceParent := range []string{
		"", "garbage", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	} {
		r := httptest.NewRequest(http.MethodGet, "/things/7?secret=x", nil)
		r.Header.Set("traceparent", traceParent)
		r.Header.Set("Authorization", "Bearer secret")
		router.ServeHTTP(httptest.NewRecorder(), r)
	}
	if names := spans.Names(); len(names) != 1 {
		t.Errorf("spans %q", names)
	}
	span := spans.One("GET /things/{id}")
	if span.SpanKind() != trace.SpanKindServer || span.Parent().SpanID().String() != "b7ad6b7169203331" || inside.SpanID() != span.SpanContext().SpanID() {
		t.Errorf("kind %s, parent %v, the handler sees %v", span.SpanKind(), span.Parent(), inside)
	}
	status := 0
	for _, a := range span.Attributes() {
		if strings.Contains(a.Value.String(), "secret") {
			t.Errorf("%s tells a secret: %s", a.Key, a.Value.String())
		}
		if a.Key == "http.response.status_code" {
			status = int(a.Value.AsInt64())
		}
	}
	if status != http.StatusTeapot {
		t.Errorf("attributes %v", span.Attributes())
	}
}

// BenchmarkRequest measures what a request costs that does nothing, without tracing and with it.
func BenchmarkRequest(b *testing.B) {
	usual := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	defer slog.SetDefault(usual)
	for _, how := range []struct {
		name     string
		provider trace.TracerProvider
	}{{"off", nil}, {"on", sdktrace.NewTracerProvider()}} {
		b.Run(how.name, func(b *testing.B) {
			telemetry.Trace(how.provider)
			defer telemetry.Trace(nil)
			router := web.NewRouter()
			router.Get("/things/{id}", func(http.ResponseWriter, *http.Request) {})
			r := httptest.NewRequest(http.MethodGet, "/things/7", nil)
			r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
			b.ReportAllocs()
			for b.Loop() {
				router.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}

// routes is a router with routes of several forms.
func routes() *chi.Mux {
	ok := web.Handler(func(r *http.Request) (web.Answer, error) { return web.JSON(200, chi.URLParam(r, "id")) })
	router := web.NewRouter()
	router.Method(http.MethodGet, "/api/thing", ok)
	router.Method(http.MethodPost, "/api/thing", ok)
	router.Route("/api/sub", func(r chi.Router) {
		r.Method(http.MethodPost, "/", ok)
		r.Method(http.MethodPut, "/{id}", ok)
		r.Method(http.MethodGet, "/{id}/detail", ok)
	})
	return router
}

func TestRouting(t *testing.T) {
	const (
		notFound   = `{"message":"Recurso não encontrado.","type":"NOT_FOUND"}`
		notAllowed = `{"message":"Método não permitido.","type":"METHOD_NOT_ALLOWED"}`
	)
	for _, test := range []struct {
		method, target string
		status         int
		body, allow    string
	}{
		{"GET", "/api/thing", 200, `""`, ""},
		{"GET", "/api/thing/", 200, `""`, ""},
		{"POST", "/api/thing/?a=b", 200, `""`, ""},
		{"PUT", "/api/sub/7/", 200, `"7"`, ""},
		{"GET", "/api/sub/7/detail/", 200, `"7"`, ""},
		{"GET", "/", 404, notFound, ""},
		{"GET", "/nope", 404, notFound, ""},
		{"GET", "/api/thing//", 404, notFound, ""},
		{"GET", "//api/thing", 404, notFound, ""},
		{"GET", "/API/thing", 404, notFound, ""},
		{"GET", "/api/sub/7/nope", 404, notFound, ""},
		{"GET", "/api/../api/thing", 404, notFound, ""},
		{"DELETE", "/api/thing", 405, notAllowed, "GET, HEAD, POST"},
		{"DELETE", "/api/thing/", 405, notAllowed, "GET, HEAD, POST"},
		{"GET", "/api/sub/7", 405, notAllowed, "PUT"},
		{"PATCH", "/api/sub", 405, notAllowed, "POST"},
		{"GET", "/api/sub/", 405, notAllowed, "POST"},
		{"POST", "/api/sub/7/detail/", 405, notAllowed, "GET, HEAD"},
		{"HEAD", "/api/sub/7", 405, notAllowed, "PUT"},
		{"OPTIONS", "/api/thing", 405, notAllowed, "GET, HEAD, POST"},
		{"INVENTED", "/api/thing", 405, notAllowed, "GET, HEAD, POST"},
	} {
		w := ask(routes(), test.method, test.target)
		if w.Code != test.status || w.Body.String() != test.body || w.Header().Get("Allow") != test.allow {
			t.Errorf("%s %s: %d %s, Allow %q, want %d %s, Allow %q", test.method, test.target,
				w.Code, w.Body, w.Header().Get("Allow"), test.status, test.body, test.allow)
		}
		if w.Header().Get(telemetry.RequestIDHeader) != sent {
			t.Errorf("%s %s: no request id", test.method, test.target)
		}
	}
}

// A HEAD request gets the head of the answer, and never a body, over a real connection.
func TestHeadOverTheWire(t *testing.T) {
	server := httptest.NewServer(routes())
	defer server.Close()
	resp, err := http.Head(server.URL + "/api/thing")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 || len(body) != 0 || err != nil || resp.ContentLength <= 0 {
		t.Errorf("HEAD: %d, %d bytes of body, content length %d, %v", resp.StatusCode, len(body), resp.ContentLength, err)
	}
}

func TestPanicIsAnInternalError(t *testing.T) {
	for name, value := range map[string]any{"text": "boom hunter2", "error": errors.New("boom hunter2")} {
		log := logged(t)
		w := ask(with(func(*http.Request) (web.Answer, error) { panic(value) }), http.MethodGet, "/x")
		if want := `{"message":"Erro interno. Código para o suporte: test-1","type":"INTERNAL_ERROR"}`; w.Code != 500 || w.Body.String() != want {
			t.Errorf("%s: %d %s, want 500 %s", name, w.Code, w.Body, want)
		}
		if !strings.Contains(log.String(), "hunter2") || !strings.Contains(log.String(), "router_test.go") {
			t.Errorf("%s: no cause or stack in the log:\n%s", name, log)
		}
		if !strings.Contains(log.String(), `"status":500`) {
			t.Errorf("%s: the request's log line lacks its status:\n%s", name, log)
		}
	}
}

func TestAbortedRequestStaysAborted(t *testing.T) {
	defer func() {
		if p := recover(); p != any(http.ErrAbortHandler) {
			t.Errorf("recovered %v, want http.ErrAbortHandler", p)
		}
	}()
	ask(with(func(*http.Request) (web.Answer, error) { panic(http.ErrAbortHandler) }), http.MethodGet, "/x")
}

// Half an answer must not look like a whole one.
func TestPanicHalfwayCutsTheConnection(t *testing.T) {
	log := logged(t)
	router := web.NewRouter()
	router.Get("/x", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic("boom")
	})
	server := httptest.NewServer(router)
	defer server.Close()
	resp, err := http.Get(server.URL + "/x")
	if err == nil {
		defer resp.Body.Close()
		var body []byte
		if body, err = io.ReadAll(resp.Body); err == nil {
			t.Errorf("got a whole answer: %q", body)
		}
	}
	server.Close()
	if !strings.Contains(log.String(), "boom") {
		t.Errorf("the panic is not in the log:\n%s", log)
	}
}

// Neither ids nor paths and methods that a client invents may become metric labels or appear in the log.
func TestMetricsAndLogsNamePatterns(t *testing.T) {
	log := logged(t)
	router := routes()
	for range 3 {
		ask(router, "PUT", "/api/sub/secret-id-77")
		ask(router, "GET", "/scan/secret-id-77.php")
		ask(router, "INVENTED-secret", "/api/thing")
	}
	if strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), `"route":"/api/sub/{id}"`) {
		t.Errorf("log:\n%s", log)
	}
	counts := map[string]uint64{}
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "bankmore_http_request_duration_seconds" {
			continue
		}
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetValue())
			}
			key := strings.Join(labels, " ") // method route status
			if strings.Contains(key, "secret") {
				t.Errorf("metric with labels %q", key)
			}
			counts[key] = metric.GetHistogram().GetSampleCount()
		}
	}
	for _, key := range []string{"PUT /api/sub/{id} 200", "GET unmatched 404", "other unmatched 405"} {
		if counts[key] < 3 {
			t.Errorf("%d measurements of %q, want 3 at least", counts[key], key)
		}
	}
}

func TestEmptyAnswerCountsAs200(t *testing.T) {
	log := logged(t)
	router := web.NewRouter()
	router.Get("/x", func(http.ResponseWriter, *http.Request) {})
	ask(router, http.MethodGet, "/x")
	if !strings.Contains(log.String(), `"status":200`) {
		t.Errorf("log:\n%s", log)
	}
}

func TestSchema(t *testing.T) {
	router := web.NewRouter()
	web.MountSchema(router, "thing", []byte("openapi: 3.1.0\n"))
	for _, target := range []string{"/api/schema/thing", "/api/schema/thing/"} {
		w := ask(router, http.MethodGet, target)
		if diff := cmp.Diff("openapi: 3.1.0\n", w.Body.String()); w.Code != 200 || diff != "" || w.Header().Get("Content-Type") != "application/yaml" {
			t.Errorf("%s: %d %s %s", target, w.Code, w.Header().Get("Content-Type"), diff)
		}
	}
}
