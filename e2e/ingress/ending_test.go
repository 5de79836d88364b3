package ingress_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// After SIGTERM the ingress goes on for as long as INGRESS_SHUTDOWN_DELAY says, on open connections and on new ones. Each of its answers
// asks the client to close the connection, so that no busy client is left when the ingress ends.
func TestClientsLeaveBeforeTheIngressEnds(t *testing.T) {
	t.Parallel()
	const delay = 8 * time.Second
	ingress := open(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/fee/my" { // no service behind the sidecar
			w.Header().Set("X-Request-ID", r.Header.Get("X-Request-ID"))
		}
	}, map[string]string{"INGRESS_SHUTDOWN_DELAY": delay.String()})
	requests := map[string]int{
		"GET /api/account/balance HTTP/1.1\r\nHost: bank\r\n\r\n": 200,
		"GET /healthz HTTP/1.1\r\nHost: bank\r\n\r\n":             200,
		"GET /api/fee/my HTTP/1.1\r\nHost: bank\r\n\r\n":          503,
		"GET /api/nothing HTTP/1.1\r\nHost: bank\r\n\r\n":         404,
		"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n":                  400, // by Caddy, before the routes
	}

	type connection struct {
		net.Conn
		answers *bufio.Reader
	}
	dial := func() connection {
		t.Helper()
		conn, err := net.Dial("tcp", ingress.Address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(3 * delay)); err != nil {
			t.Fatal(err)
		}
		return connection{conn, bufio.NewReader(conn)}
	}
	// ask reports whether the answer asks the client to close the connection.
	ask := func(c connection, request string) bool {
		t.Helper()
		fmt.Fprint(c, request)
		resp, err := http.ReadResponse(c.answers, nil)
		if err != nil {
			t.Fatalf("%q: no answer: %v", request, err)
		}
		resp.Body.Close() // reads it
		if resp.StatusCode != requests[request] {
			t.Errorf("%q: status %d, want %d", request, resp.StatusCode, requests[request])
		}
		return resp.Close
	}
	kept := map[string]connection{}
	for request := range requests {
		kept[request] = dial()
		if ask(kept[request], request) {
			t.Errorf("%q: the answer closes the connection, though the ingress goes on", request)
		}
	}
	silent := dial()
	const anything = "GET /healthz HTTP/1.1\r\nHost: bank\r\n\r\n"
	ask(silent, anything)

	begin := time.Now()
	if err := syscall.Kill(ingress.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for { // the signal takes a moment
		c := dial()
		closes := ask(c, anything)
		c.Close()
		if closes {
			break
		}
		if time.Since(begin) > delay/2 {
			t.Fatal("the ingress answers as if it had got no signal")
		}
		time.Sleep(20 * time.Millisecond)
	}
	for request, c := range kept {
		if !ask(c, request) {
			t.Errorf("%q on an open connection: the answer does not ask the client to close it", request)
		}
		if !ask(dial(), request) {
			t.Errorf("%q on a new connection: the answer does not ask the client to close it", request)
		}
	}
	if _, err := silent.answers.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection of a silent client: %v, want its end", err)
	}
	if lasted := time.Since(begin); lasted < delay {
		t.Errorf("the ingress ended connections after %s, want %s", lasted, delay)
	}
	select {
	case <-ingress.Exited():
	case <-time.After(2 * delay):
		t.Fatal("the ingress does not end")
	}
}
