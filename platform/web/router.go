package web

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/telemetry"
)

var saneRequestID = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

var (
	requestSeconds = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "bankmore_http_request_duration_seconds",
		Help:    "Time to answer a request, by route and status.",
		Buckets: []float64{.0025, .005, .01, .025, .05, .1, .25, 1, 5},
	}, []string{"method", "route", "status"})
	errNotFound         = fault.New(fault.NotFound, fault.TypeNotFound, "Recurso não encontrado.")
	errMethodNotAllowed = fault.New(fault.MethodNotAllowed, fault.TypeMethodNotAllowed, "Método não permitido.")
)

// NewRouter returns a router with what every route of every service shares.
func NewRouter() *chi.Mux {
	r := chi.NewRouter()
	if telemetry.Tracing() {
		r.Use(otelhttp.NewMiddleware("", otelhttp.WithPropagators(telemetry.Propagator), otelhttp.WithFilter(sampled)))
	}
	r.Use(identify, observe, recoverPanics, middleware.StripSlashes, middleware.GetHead, secureHeaders)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) { WriteError(w, r, errNotFound) })
	r.MethodNotAllowed(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Allow", allowed(r, req)) // RFC 9110 section 15.5.6
		WriteError(w, req, errMethodNotAllowed)
	})
	return r
}

// sampled reports whether a request comes with a trace that is recorded. Other requests have no span: clients' traces begin at the
// ingress, and what comes without one is polls and deliveries of events.
func sampled(r *http.Request) bool {
	return trace.SpanContextFromContext(telemetry.Propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header))).IsSampled()
}

// methods are the methods that a route may have. Only these become metric labels, since a client can invent others.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

// allowed lists the methods that the path of r has. A route that answers GET answers HEAD, too.
func allowed(routes chi.Routes, r *http.Request) string {
	path := strings.TrimSuffix(cmp.Or(r.URL.RawPath, r.URL.Path), "/")
	for _, route := range routes.Routes() {
		if route.SubRoutes != nil && route.Pattern == path+"/*" { // here, chi matches every method and lets that router refuse it
			routes, path = route.SubRoutes, "/"
			break
		}
	}
	var found []string
	for _, method := range methods {
		asked := method
		if method == http.MethodHead {
			asked = http.MethodGet
		}
		if routes.Match(chi.NewRouteContext(), asked, path) {
			found = append(found, method)
		}
	}
	return strings.Join(found, ", ")
}

// identify gives the request its id, and the trace context that it came with unless it has a span already.
func identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(telemetry.RequestIDHeader)
		if !saneRequestID.MatchString(id) {
			id = uuid.NewString()
		}
		w.Header().Set(telemetry.RequestIDHeader, id)
		ctx := telemetry.WithRequestID(r.Context(), id)
		if !trace.SpanContextFromContext(ctx).IsValid() {
			ctx = telemetry.Propagator.Extract(ctx, propagation.HeaderCarrier(r.Header))
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// observe logs and measures each request, and names its span.
func observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			elapsed := time.Since(start)
			method, status := "other", cmp.Or(ww.Status(), http.StatusOK) // net/http sends 200 for an empty answer
			if slices.Contains(methods, r.Method) {
				method = r.Method
			}
			if telemetry.Recorded(r.Context()) {
				span := trace.SpanFromContext(r.Context())
				span.SetName(method + " " + route(r))
				span.SetAttributes(semconv.HTTPRoute(route(r)))
			}
			requestSeconds.WithLabelValues(method, route(r), strconv.Itoa(status)).Observe(elapsed.Seconds())
			level := slog.LevelInfo
			if quiet[r.URL.Path] {
				level = slog.LevelDebug
			}
			slog.Log(r.Context(), level, "request", "method", method, "route", route(r), "status", status,
				"bytes", ww.BytesWritten(), "ms", float64(elapsed.Microseconds())/1000)
		}()
		next.ServeHTTP(ww, r)
	})
}

// quiet paths are polled by machines; their log lines would drown the others.
var quiet = map[string]bool{"/healthz": true, "/readyz": true, "/metrics": true}

// route is the pattern that matched, so that neither logs nor metrics hold ids or what a scanner tries.
func route(r *http.Request) string {
	if pattern := chi.RouteContext(r.Context()).RoutePattern(); pattern != "" {
		return pattern
	}
	return "unmatched"
}

func recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			err := fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			if ww, ok := w.(middleware.WrapResponseWriter); ok && ww.Status() != 0 {
				slog.ErrorContext(r.Context(), "request failed halfway through its answer", "route", route(r), "error", err)
				panic(http.ErrAbortHandler) // cut the connection: the client would take an error for the rest of the answer
			}
			WriteError(w, r, err)
		}()
		next.ServeHTTP(w, r)
	})
}

func secureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
