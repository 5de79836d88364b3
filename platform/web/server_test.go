package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/bankmore/bankmore/platform/web"
)

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// running is a server that serves.
type running struct {
	t    *testing.T
	url  string
	stop context.CancelFunc
	end  chan error
}

func serve(t *testing.T, router *chi.Mux, drain time.Duration, checks ...web.Check) *running {
	t.Helper()
	logged(t)
	address := freeAddress(t)
	ctx, stop := context.WithCancel(t.Context())
	server, err := web.NewServer(ctx, web.ServerConfig{ListenAddress: address, DrainTimeout: drain}, router, checks...)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, url: "http://" + address, stop: stop, end: make(chan error, 1)}
	ended := make(chan struct{})
	go func() { r.end <- server.Serve(ctx); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	return r
}

func (r *running) get(path string) (status int, body string) {
	r.t.Helper()
	resp, err := http.Get(r.url + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text))
}

// ended returns Serve's result, which must come soon.
func (r *running) ended() error {
	r.t.Helper()
	select {
	case err := <-r.end:
		return err
	case <-time.After(10 * time.Second):
		r.t.Fatal("Serve has not returned")
		return nil
	}
}

func TestBusyPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = web.NewServer(t.Context(), web.ServerConfig{ListenAddress: l.Addr().String()}, web.NewRouter())
	if err == nil || !strings.Contains(err.Error(), "LISTEN_ADDRESS") || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("%v, want an error that names the variable and the address", err)
	}
}

func TestHealthReadinessMetrics(t *testing.T) {
	var away error
	s := serve(t, web.NewRouter(), time.Second,
		web.Check{Name: "first", Ready: func(context.Context) error { return nil }},
		web.Check{Name: "database", Ready: func(context.Context) error { return away }})
	if status, body := s.get("/healthz"); status != 200 || body != "ok" {
		t.Errorf("healthz: %d %s", status, body)
	}
	if status, body := s.get("/readyz"); status != 200 || body != "ready" {
		t.Errorf("readyz: %d %s", status, body)
	}
	away = errors.New("password hunter2 refused")
	if status, body := s.get("/readyz/"); status != 503 || body != "database is not ready" {
		t.Errorf("readyz with a failing check: %d %s", status, body)
	}
	if status, body := s.get("/healthz"); status != 200 || body != "ok" {
		t.Errorf("healthz with a failing check: %d %s", status, body)
	}
	if status, body := s.get("/metrics"); status != 200 || !strings.Contains(body, "bankmore_http_request_duration_seconds_bucket") {
		t.Errorf("metrics: %d", status)
	}
	s.stop()
	if err := s.ended(); err != nil {
		t.Errorf("Serve = %v", err)
	}
}

func TestReadinessGivesChecksTwoSeconds(t *testing.T) {
	var left time.Duration
	s := serve(t, web.NewRouter(), time.Second, web.Check{Name: "slow", Ready: func(ctx context.Context) error {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return nil
	}})
	s.get("/readyz")
	if left <= 0 || left > 2*time.Second {
		t.Errorf("a check has %v", left)
	}
}

// busy is a router whose GET /x reports when it begins, and ends when the test says so.
func busy() (router *chi.Mux, begun, finish chan struct{}) {
	begun, finish = make(chan struct{}), make(chan struct{})
	router = web.NewRouter()
	router.Method(http.MethodGet, "/x", web.Handler(func(r *http.Request) (web.Answer, error) {
		close(begun)
		<-finish
		return web.JSON(200, fmt.Sprint("context: ", r.Context().Err()))
	}))
	return router, begun, finish
}

func TestRequestInFlightEndsBeforeTheServer(t *testing.T) {
	router, begun, finish := busy()
	s := serve(t, router, 10*time.Second)

	answer := make(chan string, 1)
	go func() {
		status, body := s.get("/x")
		answer <- fmt.Sprint(status, " ", body)
	}()
	<-begun
	s.stop()
	awaitRefusal(t, s.url)
	if w := ask(router, http.MethodGet, "/readyz"); w.Code != 503 || strings.TrimSpace(w.Body.String()) != "draining" {
		t.Errorf("readyz while draining: %d %s", w.Code, w.Body)
	}
	select {
	case err := <-s.end:
		t.Fatalf("Serve returned with a request in flight: %v", err)
	default:
	}
	close(finish)
	if got, want := <-answer, `200 "context: <nil>"`; got != want {
		t.Errorf("the request in flight: %s, want %s", got, want)
	}
	if err := s.ended(); err != nil {
		t.Errorf("Serve = %v", err)
	}
}

func TestDrainTimeoutIsAnError(t *testing.T) {
	router, begun, finish := busy()
	defer close(finish)
	s := serve(t, router, 50*time.Millisecond)
	failed := make(chan error, 1)
	go func() {
		resp, err := http.Get(s.url + "/x")
		if err == nil {
			resp.Body.Close()
		}
		failed <- err
	}()
	<-begun
	s.stop()
	if err := s.ended(); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "draining") {
		t.Errorf("Serve = %v, want a deadline error", err)
	}
	if err := <-failed; err == nil {
		t.Error("the request that outlived the drain got an answer")
	}
}

// A server whose context has ended before Serve still shuts down in order.
func TestServeWithAnEndedContext(t *testing.T) {
	logged(t)
	ctx, cancel := context.WithCancel(t.Context())
	server, err := web.NewServer(ctx, web.ServerConfig{ListenAddress: "127.0.0.1:0", DrainTimeout: time.Second}, web.NewRouter())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := server.Serve(ctx); err != nil {
		t.Errorf("Serve = %v", err)
	}
}

func TestLargeBodyIsAnsweredOverTheWire(t *testing.T) {
	router := web.NewRouter()
	router.Method(http.MethodPost, "/x", web.Handler(func(r *http.Request) (web.Answer, error) {
		return web.Answer{}, web.Decode(r, new(order))
	}))
	s := serve(t, router, time.Second)
	resp, err := http.Post(s.url+"/x", "application/json", strings.NewReader(`{"id":"`+strings.Repeat("x", 1<<20)+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want 413", resp.StatusCode)
	}
}

// awaitRefusal waits until the listener is closed.
func awaitRefusal(t *testing.T, url string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			return
		}
		conn.Close()
	}
	t.Fatal("the listener is still open")
}
