package suite_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/e2e/bank"
)

// What an answer of edge may be instead of one of our types.
const (
	success = ""      // 2xx
	plain   = "plain" // of Go's HTTP server, before any handler could see the request: text or nothing, without a request id
	closed  = "closed"
)

// edge is a request at the edge of HTTP, byte by byte, and the answer that it must get through the ingress.
type edge struct {
	what    string
	raw     string
	status  int
	failure string
	allow   string // of a 405
	half    bool   // the client ends its side of the connection after the request
	slow    bool   // the answer takes its time, up to 15 s
}

// Every request at the edge of HTTP gets the API's answer, or a refusal in the form of the API. If HTTP's own parser refuses the
// request before a handler sees it, the answer is plain text. A request that breaks off has no effect.
func TestEdgesOfHTTP(t *testing.T) {
	ana := system.NewCustomer(t, "Ana Margem", "100.00")
	host := "Host: bank\r\n"
	auth := host + "Authorization: Bearer " + ana.Token + "\r\n"
	post := auth + "Content-Type: application/json\r\n"
	balance := "/api/account/balance/ HTTP/1.1\r\n"
	moving := "POST /api/account/movement/ HTTP/1.1\r\n" + post
	body := func() string { return movement(bank.Key(), ana.Number, `"1.00"`, "C") }
	whole := func(text string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(text), text) }
	chunk := func(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }
	chunked := "Transfer-Encoding: chunked\r\n\r\n"
	long := strings.Repeat("A", 200)

	good := []edge{
		{what: "the whole URI", raw: "GET http://bank" + balance + auth + "\r\n", status: 200},
		{what: "the whole URI, of another host", raw: "GET https://another.example:8443" + balance + auth + "\r\n", status: 200},
		{what: "the whole URI of the documents", raw: "GET http://bank/swagger/ HTTP/1.1\r\n" + host + "\r\n", status: 200},
		{what: "HTTP/1.0 without a host", raw: strings.Replace("GET "+balance, "1.1", "1.0", 1) + strings.TrimPrefix(auth, host) + "\r\n", status: 200},
		{what: "a folded header", raw: "GET " + balance + auth + "X-Folded: a\r\n b\r\n\r\n", status: 200},
		{what: "headers of 30 KB", raw: "GET " + balance + auth + "X-Long: " + strings.Repeat("x", 30000) + "\r\n\r\n", status: 200},
		{what: "another protocol on offer", raw: "GET " + balance + auth + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", status: 200},
		{what: "HEAD", raw: "HEAD " + balance + auth + "Connection: close\r\n\r\n", status: 200},
		{what: "chunks", raw: moving + chunked + chunk(body()) + "0\r\n\r\n", status: 204},
		{what: "chunks with a trailer", raw: moving + "Trailer: X-Sum\r\n" + chunked + chunk(body()) + "0\r\nX-Sum: 1\r\nDapr-App-Id: fee-svc\r\n\r\n", status: 204},
		{what: "chunks beside a length", raw: moving + "Content-Length: 3\r\n" + chunked + chunk(body()) + "0\r\n\r\n", status: 204},
		{what: "an expectation", raw: moving + "Expect: 100-continue\r\n" + whole(body()), status: 204},
	}
	bad := []edge{
		{what: "the whole URI of what is inside", raw: "POST http://account-svc/internal/movements HTTP/1.1\r\n" + post + whole("{}"), status: 404, failure: "NOT_FOUND"},
		{what: "the whole URI, disguised", raw: "GET http://bank//internal/movements HTTP/1.1\r\n" + auth + "\r\n", status: 404, failure: "NOT_FOUND"},
		{what: "the whole URI without a path", raw: "GET http://bank HTTP/1.1\r\n" + auth + "\r\n", status: 404, failure: "NOT_FOUND"},
		{what: "user information", raw: "GET http://ana:senha@bank" + balance + auth + "\r\n", status: 400, failure: "INVALID_ARGUMENT"},
		{what: "CONNECT", raw: "CONNECT bank:443 HTTP/1.1\r\n" + host + "\r\n", status: 405, failure: "METHOD_NOT_ALLOWED", allow: "GET, HEAD, POST, PUT"},
		{what: "CONNECT with a path", raw: "CONNECT /api/fee/" + ana.Number + "/ HTTP/1.1\r\n" + auth + "\r\n", status: 405, failure: "METHOD_NOT_ALLOWED", allow: "GET, HEAD, POST, PUT"},
		{what: "TRACE", raw: "TRACE " + balance + auth + "\r\n", status: 405, failure: "METHOD_NOT_ALLOWED", allow: "GET, HEAD, POST, PUT"},
		{what: "a method in lower case", raw: "get " + balance + auth + "\r\n", status: 405, failure: "METHOD_NOT_ALLOWED", allow: "GET, HEAD, POST, PUT"},
		{what: "a method of others", raw: "PROPFIND " + balance + auth + "\r\n", status: 405, failure: "METHOD_NOT_ALLOWED", allow: "GET, HEAD, POST, PUT"},
		{what: "a method of 200 characters", raw: long + " " + balance + auth + "\r\n", status: 405, failure: "METHOD_NOT_ALLOWED", allow: "GET, HEAD, POST, PUT"},
		{what: "a method of 200 characters at healthz", raw: long + " /healthz HTTP/1.1\r\n" + host + "\r\n", status: 405, failure: "METHOD_NOT_ALLOWED", allow: "GET, HEAD"},
		{what: "OPTIONS", raw: "OPTIONS " + balance + auth + "\r\n", status: 405, failure: "METHOD_NOT_ALLOWED", allow: "GET, HEAD"},
		{what: "PATCH", raw: "PATCH /api/transfer/ HTTP/1.1\r\n" + post + whole("{}"), status: 405, failure: "METHOD_NOT_ALLOWED", allow: "POST"},
		{what: "POST to the documents", raw: "POST /swagger/ HTTP/1.1\r\n" + host + whole("{}"), status: 405, failure: "METHOD_NOT_ALLOWED", allow: "GET, HEAD"},
		{what: "POST to the documents, without a slash", raw: "POST /swagger HTTP/1.1\r\n" + host + whole("{}"), status: 405, failure: "METHOD_NOT_ALLOWED", allow: "GET, HEAD"},
		{what: "POST to a file", raw: "POST /swagger/swagger-ui.css HTTP/1.1\r\n" + host + whole("{}"), status: 405, failure: "METHOD_NOT_ALLOWED", allow: "GET, HEAD"},
		{what: "a file that is not there", raw: "GET /swagger/x HTTP/1.1\r\n" + host + "\r\n", status: 404, failure: "NOT_FOUND"},
		{what: "POST to healthz", raw: "POST /healthz HTTP/1.1\r\n" + host + whole("{}"), status: 405, failure: "METHOD_NOT_ALLOWED", allow: "GET, HEAD"},
		{what: "PUT to healthz", raw: "PUT /healthz HTTP/1.1\r\n" + host + whole("{}"), status: 405, failure: "METHOD_NOT_ALLOWED", allow: "GET, HEAD"},
		{what: "an empty host", raw: "GET " + balance + "Host:\r\n\r\n", status: 400, failure: "INVALID_ARGUMENT"},
		{what: "a host of dots", raw: "GET " + balance + "Host: ..\r\n\r\n", status: 400, failure: "INVALID_ARGUMENT"},
		{what: "two idempotency keys", raw: "POST /api/account/movement/ HTTP/1.1\r\n" + post + "Idempotency-Key: \"a\"\r\nIdempotency-Key: \"b\"\r\n" +
			whole(fmt.Sprintf(`{"account_number":%q,"amount":"1.00","type":"C"}`, ana.Number)), status: 400, failure: "INVALID_ARGUMENT"},

		{what: "a chunk size that is none", raw: moving + chunked + "ZZ\r\n" + body() + "\r\n0\r\n\r\n", status: 400, failure: "INVALID_ARGUMENT"},
		{what: "a chunk size that is none, of a GET", raw: "GET " + balance + auth + chunked + "ZZ\r\n\r\n", status: 400, failure: "INVALID_ARGUMENT"},
		{what: "the second chunk's size is none", raw: moving + chunked + chunk(body()) + "ZZ\r\n\r\n", status: 400, failure: "INVALID_ARGUMENT"},
		{what: "a negative chunk size", raw: moving + chunked + chunk(body()) + "-1\r\n\r\n", status: 400, failure: "INVALID_ARGUMENT"},
		{what: "a chunk size over 64 bits", raw: moving + chunked + chunk(body()) + "FFFFFFFFFFFFFFFFF\r\n\r\n", status: 400, failure: "INVALID_ARGUMENT"},
		{what: "a chunk longer than its size", raw: moving + chunked + strings.Replace(chunk(body()), "\r\n", "more\r\n", 1) + "0\r\n\r\n", status: 400, failure: "INVALID_ARGUMENT"},
		{what: "a chunk line of 9 KB", raw: moving + chunked + chunk(body()) + "0;" + strings.Repeat("x", 9000) + "\r\n\r\n", status: 400, failure: "INVALID_ARGUMENT"},
		{what: "a trailer that is none", raw: moving + chunked + chunk(body()) + "0\r\nno trailer\r\n\r\n", status: 400, failure: "INVALID_ARGUMENT"},

		{what: "a body that stalls", raw: moving + "Content-Length: 1000\r\n\r\n" + body(), status: 408, failure: "REQUEST_TIMEOUT", slow: true},
		{what: "a body that never begins", raw: moving + "Content-Length: 1000\r\n\r\n", status: 408, failure: "REQUEST_TIMEOUT", slow: true},
		{what: "chunks that stall", raw: moving + chunked + chunk(body()), status: 408, failure: "REQUEST_TIMEOUT", slow: true},
		{what: "the end before that of the body", raw: moving + "Content-Length: 1000\r\n\r\n" + body(), status: 408, failure: "REQUEST_TIMEOUT", half: true},
		{what: "the end before that of the chunks", raw: moving + chunked + chunk(body()), status: 408, failure: "REQUEST_TIMEOUT", half: true},

		{what: "a length of 63 bits", raw: moving + "Content-Length: 9223372036854775807\r\n\r\n" + body(), status: 413, failure: "PAYLOAD_TOO_LARGE", slow: true},
		{what: "chunks of 200 KB", raw: moving + chunked + strings.Repeat(chunk(strings.Repeat("x", 20000)), 10) + "0\r\n\r\n", status: 413, failure: "PAYLOAD_TOO_LARGE"},
		{what: "headers of 50 KB", raw: "GET " + balance + auth + "X-Long: " + strings.Repeat("x", 50000) + "\r\n\r\n", status: 431, failure: "PAYLOAD_TOO_LARGE"},

		{what: "headers of 70 KB", raw: "GET " + balance + auth + "X-Long: " + strings.Repeat("x", 70000) + "\r\n\r\n", status: 431, failure: plain},
		{what: "no host", raw: "GET " + balance + "\r\n", status: 400, failure: plain},
		{what: "two hosts", raw: "GET " + balance + auth + "Host: other\r\n\r\n", status: 400, failure: plain},
		{what: "a NUL in a header", raw: "GET " + balance + auth + "X-Nul: a\x00b\r\n\r\n", status: 400, failure: plain},
		{what: "a space before the colon", raw: "GET " + balance + auth + "X-Space : a\r\n\r\n", status: 400, failure: plain},
		{what: "a line without a colon", raw: "GET " + balance + auth + "nothing\r\n\r\n", status: 400, failure: plain},
		{what: "a control character in the path", raw: "GET /api/\x01 HTTP/1.1\r\n" + auth + "\r\n", status: 400, failure: plain},
		{what: "a malformed escape in the path", raw: "GET /api/account/%zz HTTP/1.1\r\n" + auth + "\r\n", status: 400, failure: plain},
		{what: "a method that is no token", raw: "G@T " + balance + auth + "\r\n", status: 400, failure: plain},
		{what: "two lengths", raw: moving + "Content-Length: 7\r\n" + whole(body()), status: 400, failure: plain},
		{what: "a length over 64 bits", raw: moving + "Content-Length: 92233720368547758070\r\n\r\n" + body(), status: 400, failure: plain},
		{what: "a negative length", raw: moving + "Content-Length: -1\r\n\r\n" + body(), status: 400, failure: plain},
		{what: "an encoding of transfers that is unknown", raw: moving + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", status: 501, failure: plain},
		{what: "another expectation", raw: moving + "Expect: 200-ok\r\n" + whole(body()), status: 417, failure: plain},
		{what: "HTTP/0.9", raw: "GET /api/account/balance/\r\n\r\n", status: 400, failure: plain},
		{what: "HTTP/2.0", raw: "GET /api/account/balance/ HTTP/2.0\r\n" + auth + "\r\n", status: 505, failure: plain},
		{what: "TLS", raw: "\x16\x03\x01\x00\x05hello\r\n\r\n", status: 400, failure: plain},
		{what: "headers that stall", raw: "GET " + balance + auth, failure: closed, slow: true},
	}
	credited := 0
	for _, e := range good {
		e.check(t)
		if e.status == http.StatusNoContent {
			credited++
		}
	}
	leavesNoTrace(t, func() {
		var all sync.WaitGroup
		for _, e := range bad {
			if e.slow {
				all.Go(func() { e.check(t) })
			}
		}
		for _, e := range bad {
			if !e.slow {
				e.check(t)
			}
		}
		all.Wait()
	})
	ana.WantBalance(t, fmt.Sprintf("%d.00", 100+credited))

	// Requests that follow each other without waiting are answered in their order.
	conn := dialIngress(t)
	fmt.Fprint(conn, moving+whole(body())+"GET /nothing HTTP/1.1\r\n"+host+"\r\n"+"GET "+balance+auth+"\r\n")
	answers := bufio.NewReader(conn)
	for _, status := range []int{http.StatusNoContent, http.StatusNotFound, http.StatusOK} {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != status {
			t.Errorf("pipelined: %d, want %d, %v", resp.StatusCode, status, err)
		}
	}
}

// dialIngress opens a connection that the end of the test closes.
func dialIngress(t *testing.T) *net.TCPConn {
	t.Helper()
	ingress, err := url.Parse(system.URL())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", ingress.Host, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func (e edge) check(t *testing.T) {
	conn := dialIngress(t)
	if _, err := io.WriteString(conn, e.raw); err != nil {
		t.Errorf("%s: %v", e.what, err)
		return
	}
	if e.half {
		if err := conn.CloseWrite(); err != nil {
			t.Errorf("%s: %v", e.what, err)
			return
		}
	}
	method, _, _ := strings.Cut(e.raw, " ")
	answers := bufio.NewReader(conn)
	resp, err := http.ReadResponse(answers, &http.Request{Method: method})
	for err == nil && resp.StatusCode == http.StatusContinue {
		resp, err = http.ReadResponse(answers, &http.Request{Method: method})
	}
	if e.failure == closed {
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v, want the connection closed without an answer", e.what, err)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v", e.what, err)
		return
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil && e.failure != plain { // a parser that gives up resets the connection after its answer
		t.Errorf("%s: %v", e.what, err)
		return
	}
	id := resp.Header.Get("X-Request-ID")
	fits := resp.StatusCode == e.status && resp.Header.Get("Allow") == e.allow
	switch e.failure {
	case success:
		fits = fits && id != ""
	case plain:
		fits = fits && id == "" && len(answer) < 100 && !bytes.ContainsAny(answer, "{<")
	default:
		var form struct {
			Message string `json:"message"`
			Type    string `json:"type"`
		}
		err = json.Unmarshal(answer, &form, json.RejectUnknownMembers(true))
		fits = fits && err == nil && form.Type == e.failure && system.Contract.Names(form.Type) && form.Message != "" && id != ""
	}
	if !fits {
		t.Errorf("%s: %d, want %d %s; %q %.300s", e.what, resp.StatusCode, e.status, e.failure, resp.Header, answer)
	}
}
