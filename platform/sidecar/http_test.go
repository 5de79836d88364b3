package sidecar_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/propagation"

	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/telemetry"
)

// over returns a client of a sidecar whose HTTP API is handler.
func over(t *testing.T, token string, handler http.HandlerFunc) *sidecar.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	_, text, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	client, err := sidecar.New(sidecar.Config{HTTPPort: port, GRPCPort: 1, APIToken: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

type number struct {
	N int `json:"n"`
}

func TestInvoke(t *testing.T) {
	var got http.Header
	var request string
	client := over(t, "secret", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Header
		request = r.Method + " " + r.URL.Path + " " + strconv.FormatInt(r.ContentLength, 10) + " " + string(body)
		_, _ = io.WriteString(w, `{"n":2,"added_later":true}`)
	})
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := telemetry.Propagator.Extract(t.Context(), propagation.MapCarrier{"traceparent": trace})
	var out number
	if err := client.Invoke(telemetry.WithRequestID(ctx, "request-1"), "other-svc", "/internal/things", number{1}, &out); err != nil {
		t.Fatal(err)
	}
	if out.N != 2 {
		t.Errorf("answer: %+v", out)
	}
	if want := `POST /internal/things 7 {"n":1}`; request != want {
		t.Errorf("request: %s, want %s", request, want)
	}
	for name, want := range map[string]string{
		"dapr-app-id": "other-svc", "dapr-api-token": "secret", "Content-Type": "application/json",
		"X-Request-ID": "request-1", "traceparent": trace,
	} {
		if got.Get(name) != want {
			t.Errorf("header %s: %q, want %q", name, got.Get(name), want)
		}
	}
}

func TestInvokeSendsNoEmptyHeaders(t *testing.T) {
	client := over(t, "", func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"dapr-api-token", "X-Request-ID", "traceparent"} {
			if values := r.Header.Values(name); len(values) != 0 {
				t.Errorf("header %s: %q", name, values)
			}
		}
		_, _ = io.WriteString(w, `{}`)
	})
	if err := client.Invoke(t.Context(), "other-svc", "/x", number{}, new(number)); err != nil {
		t.Error(err)
	}
}

func TestInvokeFailures(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"the app is away":    {500, `{"errorCode":"ERR_DIRECT_INVOKE"}`, "status 500: {\"errorCode\":\"ERR_DIRECT_INVOKE\"}"},
		"access is denied":   {403, "denied", "status 403"},
		"the app refuses":    {400, `{"message":"Não.","type":"X"}`, "status 400"},
		"another success":    {202, `{"n":1}`, "status 202"},
		"nothing":            {204, "", "status 204"},
		"no JSON":            {200, "<html>", "invoking other-svc/x"},
		"half of it":         {200, `{"n":1`, "invoking other-svc/x"},
		"another type":       {200, `{"n":"1"}`, "invoking other-svc/x"},
		"a very long error":  {500, strings.Repeat("x", 1<<20), "status 500"},
		"a very long answer": {200, `{"n":1,"x":"` + strings.Repeat("x", 5<<20) + `"}`, "invoking other-svc/x"},
	} {
		client := over(t, "", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.body)
		})
		err := client.Invoke(t.Context(), "other-svc", "/x", number{}, new(number))
		if err == nil || !strings.Contains(err.Error(), test.want) || len(err.Error()) > 500 {
			t.Errorf("%s: %.600v, want %q", name, err, test.want)
		}
	}
}

func TestInvokeLostAnswer(t *testing.T) {
	client := over(t, "", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"n":1`)
		panic(http.ErrAbortHandler)
	})
	if err := client.Invoke(t.Context(), "other-svc", "/x", number{}, new(number)); err == nil {
		t.Error("half an answer is no error")
	}
}

func TestInvokeWithoutSidecar(t *testing.T) {
	client, err := sidecar.New(sidecar.Config{HTTPPort: 1, GRPCPort: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Invoke(t.Context(), "other-svc", "/x", number{}, new(number)); err == nil {
		t.Error("no sidecar is no error")
	}
	if err := client.Ready(t.Context()); err == nil {
		t.Error("ready without a sidecar")
	}
	if err := client.Invoke(t.Context(), "other-svc", "/x", func() {}, new(number)); err == nil {
		t.Error("a function was sent")
	}
}

// When an app hangs, Invoke returns at the caller's deadline and closes the connection. The closed connection tells the
// sidecar that nobody waits any more.
func TestInvokeEndsWithItsContext(t *testing.T) {
	let := make(chan struct{})
	closed := sync.OnceFunc(func() { close(let) })
	var called atomic.Bool
	client := over(t, "", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // until then the server does not look for the end of the connection
		called.Store(true)
		<-r.Context().Done()
		closed()
	})
	for patience := 20 * time.Millisecond; !called.Load(); patience *= 2 { // on a slow machine the deadline may come before the call
		if patience > time.Minute {
			t.Fatal("the app is not called")
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := client.Invoke(ctx, "other-svc", "/x", number{}, new(number)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Invoke = %v, want a deadline error", err)
		}
		cancel()
	}
	select {
	case <-let:
	case <-time.After(10 * time.Second):
		t.Fatal("the connection is still open")
	}
}

// Connections are kept: a new one for each call would run the machine out of ports under load.
func TestInvokeReusesConnections(t *testing.T) {
	var opened atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"n":1}`)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	client, err := sidecar.New(sidecar.Config{HTTPPort: server.Listener.Addr().(*net.TCPAddr).Port, GRPCPort: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var all sync.WaitGroup
	const callers = 16
	for range callers {
		all.Go(func() {
			for range 50 {
				if err := client.Invoke(t.Context(), "other-svc", "/x", number{}, new(number)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if opened.Load() > 2*callers {
		t.Errorf("%d connections for %d callers", opened.Load(), callers)
	}
}

func TestReady(t *testing.T) {
	var asked []string
	answer := 204
	client := over(t, "", func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		w.WriteHeader(answer)
	})
	if err := client.Ready(t.Context()); err != nil {
		t.Errorf("Ready = %v", err)
	}
	answer = 500
	if err := client.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("Ready = %v, want status 500", err)
	}
	if diff := cmp.Diff([]string{"GET /v1.0/healthz/outbound", "GET /v1.0/healthz/outbound"}, asked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
