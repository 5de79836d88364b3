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
	asked := make(chan time.Time, 1)
	ended := make(chan time.Time, 1)
	ingress := open(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		asked <- time.Now()
		<-r.Context().Done()
		ended <- time.Now()
	}, nil)
	conn, err := net.Dial("tcp", ingress.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /api/transfer HTTP/1.1\r\nHost: bank\r\nContent-Length: 14\r\nX-Request-ID: mine\r\n\r\n")
	for range 14 {
		time.Sleep(time.Second)
		fmt.Fprint(conn, "x")
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	waited := (<-ended).Sub(<-asked)
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("X-Request-ID") != "mine" || !strings.Contains(string(body), "INTERNAL_ERROR") {
		t.Errorf("%v, %d %s %s", err, resp.StatusCode, resp.Header, body)
	}
	if waited < 29*time.Second || waited > 33*time.Second {
		t.Errorf("the ingress waits %s for a service", waited)
	}
}
