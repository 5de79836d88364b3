package web_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/telemetry"
	"github.com/bankmore/bankmore/platform/web"
)

const sent = "test-1" // the X-Request-ID that ask sends

// ask sends one request through handler.
func ask(handler http.Handler, method, target string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set(telemetry.RequestIDHeader, sent)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// with returns a router whose GET /x is handler.
func with(handler web.Handler) *chi.Mux {
	router := web.NewRouter()
	router.Method(http.MethodGet, "/x", handler)
	return router
}

// logged collects what is logged during the test.
func logged(t *testing.T) *bytes.Buffer {
	t.Helper()
	before, out := slog.Default(), new(bytes.Buffer)
	slog.SetDefault(slog.New(slog.NewJSONHandler(out, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return out
}

func TestErrorsBecomeAnswers(t *testing.T) {
	logged(t)
	for _, test := range []struct {
		kind   fault.Kind
		status int
		body   string
	}{
		{fault.Internal, 500, `{"message":"Olá. Código para o suporte: test-1","type":"TYPE"}`},
		{fault.Unavailable, 503, `{"message":"Olá. Código para o suporte: test-1","type":"TYPE"}`},
		{fault.Invalid, 400, `{"message":"Olá.","type":"TYPE"}`},
		{fault.Refused, 400, `{"message":"Olá.","type":"TYPE"}`},
		{fault.Unauthenticated, 401, `{"message":"Olá.","type":"TYPE"}`},
		{fault.Forbidden, 403, `{"message":"Olá.","type":"TYPE"}`},
		{fault.NotFound, 404, `{"message":"Olá.","type":"TYPE"}`},
		{fault.MethodNotAllowed, 405, `{"message":"Olá.","type":"TYPE"}`},
		{fault.InProgress, 409, `{"message":"Olá.","type":"TYPE"}`},
		{fault.TooLarge, 413, `{"message":"Olá.","type":"TYPE"}`},
		{fault.UnsupportedMedia, 415, `{"message":"Olá.","type":"TYPE"}`},
		{fault.Conflict, 422, `{"message":"Olá.","type":"TYPE"}`},
		{fault.RateLimited, 429, `{"message":"Olá.","type":"TYPE"}`},
	} {
		failure := fmt.Errorf("wrapped: %w", fault.New(test.kind, "TYPE", "Olá.").Because(errors.New("secret cause")))
		w := ask(with(func(*http.Request) (web.Answer, error) { return web.Answer{}, failure }), http.MethodGet, "/x")
		if w.Code != test.status || w.Body.String() != test.body {
			t.Errorf("kind %d: %d %s, want %d %s", test.kind, w.Code, w.Body, test.status, test.body)
		}
		if got := w.Header().Get("Content-Type"); got != "application/json" {
			t.Errorf("kind %d: content type %q", test.kind, got)
		}
		if got := w.Header().Get("Content-Length"); got != fmt.Sprint(len(test.body)) {
			t.Errorf("kind %d: content length %s", test.kind, got)
		}
		if got, want := w.Header().Get("WWW-Authenticate") != "", test.kind == fault.Unauthenticated; got != want {
			t.Errorf("kind %d: WWW-Authenticate %t", test.kind, got)
		}
		if got := w.Header().Get("Retry-After"); got != "" {
			t.Errorf("kind %d: Retry-After %q", test.kind, got)
		}
	}
}

// A kind without a status would answer with status 0, which is a panic of net/http.
func TestEveryKindHasAStatus(t *testing.T) {
	logged(t)
	for kind := fault.Internal; kind <= fault.RateLimited; kind++ {
		answer, err := web.Refusal(fault.New(kind, "TYPE", "Não."))
		if err != nil || http.StatusText(answer.Status) == "" {
			t.Errorf("kind %d: status %d, %v", kind, answer.Status, err)
		}
	}
}

func TestUnknownErrorIsInternalAndStaysInside(t *testing.T) {
	log := logged(t)
	w := ask(with(func(*http.Request) (web.Answer, error) {
		return web.Answer{}, errors.New("dial postgres://user:hunter2@db failed")
	}), http.MethodGet, "/x")
	want := `{"message":"Erro interno. Código para o suporte: test-1","type":"INTERNAL_ERROR"}`
	if w.Code != 500 || w.Body.String() != want {
		t.Errorf("%d %s, want 500 %s", w.Code, w.Body, want)
	}
	if n := strings.Count(log.String(), "hunter2"); n != 1 {
		t.Errorf("the cause is logged %d times, want once:\n%s", n, log)
	}
}

func TestClientsErrorsAreNotLoggedAsOurs(t *testing.T) {
	log := logged(t)
	ask(with(func(*http.Request) (web.Answer, error) { return web.Answer{}, fault.BadArgument("Não.") }), http.MethodGet, "/x")
	if strings.Contains(log.String(), `"ERROR"`) {
		t.Errorf("logged as an error:\n%s", log)
	}
}

// A client may send a secret as the name of a field or parameter. The answer repeats the name, the log never does.
func TestLogRepeatsNoNamesOfClients(t *testing.T) {
	log := logged(t)
	slog.SetDefault(slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	for what, r := range map[string]*http.Request{
		"a field":     httptest.NewRequest(http.MethodGet, "/x", strings.NewReader(`{"52998224725":"senha"}`)),
		"a parameter": httptest.NewRequest(http.MethodGet, "/x?52998224725=senha", strings.NewReader(`{}`)),
	} {
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		with(web.Handler(func(r *http.Request) (web.Answer, error) {
			return web.Answer{}, web.Decode(r, new(struct{}))
		}).Accepting()).ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "52998224725") {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
	}
	if n := strings.Count(log.String(), `"request refused"`); n != 2 || strings.Contains(log.String(), "52998224725") {
		t.Errorf("%d refusals in the log:\n%s", n, log)
	}
}

func TestRetryAfterIsInWholeSecondsRoundedUp(t *testing.T) {
	for after, want := range map[time.Duration]string{
		0: "", time.Millisecond: "1", time.Second: "1", 1500 * time.Millisecond: "2", time.Minute: "60",
	} {
		w := ask(with(func(*http.Request) (web.Answer, error) {
			return web.Answer{}, fault.New(fault.RateLimited, fault.TypeRateLimited, "Devagar.").After(after)
		}), http.MethodGet, "/x")
		if got := w.Header().Get("Retry-After"); got != want {
			t.Errorf("%v: Retry-After %q, want %q", after, got, want)
		}
	}
}

func TestAnswers(t *testing.T) {
	ok, err := web.JSON(http.StatusCreated, map[string]string{"name": "José <&>"})
	if err != nil {
		t.Fatal(err)
	}
	replayed := ok
	replayed.Replayed = true
	for _, test := range []struct {
		answer         web.Answer
		status         int
		body, replayed string
	}{
		{ok, 201, `{"name":"José <&>"}`, ""},
		{replayed, 201, `{"name":"José <&>"}`, "true"},
		{web.NoContent(), 204, "", ""},
		{web.Answer{Status: 204, Replayed: true}, 204, "", "true"},
	} {
		w := ask(with(func(*http.Request) (web.Answer, error) { return test.answer, nil }), http.MethodGet, "/x")
		if w.Code != test.status || w.Body.String() != test.body || w.Header().Get(web.ReplayedHeader) != test.replayed {
			t.Errorf("%d %q %v, want %d %q, replayed %q", w.Code, w.Body, w.Header(), test.status, test.body, test.replayed)
		}
		if hasType := w.Header().Get("Content-Type") != ""; hasType != (test.body != "") {
			t.Errorf("status %d with body %q has content type %q", w.Code, test.body, w.Header().Get("Content-Type"))
		}
		want := map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", telemetry.RequestIDHeader: sent}
		got := map[string]string{}
		for name := range want {
			got[name] = w.Header().Get(name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
	}
}

func TestUnencodableAnswerIsOurFailure(t *testing.T) {
	if _, err := web.JSON(200, map[string]any{"f": func() {}}); err == nil {
		t.Error("a function was encoded")
	}
}

func TestRefusal(t *testing.T) {
	answer, err := web.Refusal(fault.New(fault.Refused, "INSUFFICIENT", "Saldo insuficiente.").Because(errors.New("balance 3")))
	if err != nil {
		t.Fatal(err)
	}
	want := web.Answer{Status: 400, Body: []byte(`{"message":"Saldo insuficiente.","type":"INSUFFICIENT"}`)}
	if diff := cmp.Diff(want, answer); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
