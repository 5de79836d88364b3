package ingress_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A service that hangs costs a client 30 s, and the answer then says so, even after a body that was slow to come.
func TestHungServiceIsGivenUp(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{}, 1)
	ingress := open(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		ended <- struct{}{}
	}, nil)
	conn, err := net.Dial("tcp", ingress.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /api/transfer HTTP/1.1\r\nHost: bank\r\nContent-Length: 10\r\nX-Request-ID: mine\r\n\r\n")
	var sent time.Time
	for range 10 { // the ingress waits 15 s for a body
		time.Sleep(time.Second)
		sent = time.Now()
		fmt.Fprint(conn, "x")
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	waited := time.Since(sent)
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("X-Request-ID") != "mine" || !strings.Contains(string(body), "INTERNAL_ERROR") {
		t.Errorf("%v, %d %s %s", err, resp.StatusCode, resp.Header, body)
	}
	if waited < 30*time.Second || waited > 33*time.Second {
		t.Errorf("the ingress waits %s for a service", waited)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the service does not learn that nobody waits")
	}
}
