package ingress_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// secrets are marks of what no log may hold: tokens, keys, and what identifies a customer.
var secrets = map[string]string{
	"the sidecar's token":      "mark-of-dapr-api-token",
	"an idempotency key":       "mark-of-idempotency-key",
	"a customer's token":       "mark-of-authorization",
	"a cookie":                 "mark-of-cookie",
	"any other header":         "mark-of-any-header",
	"a header of the answer":   "mark-of-the-answer",
	"an account number":        "8412345671",
	"a query":                  "mark-of-query",
	"a cookie of the answer":   "mark-of-set-cookie",
	"a path that is not ours":  "mark-of-path",
	"user information":         "mark-of-user",
	"a host":                   "mark-of-host",
	"what an answer's body is": "mark-of-body",
}

// The ingress logs no headers, and of a path only whose it is: when a client resets the connection in mid-answer, when
// the sidecar fails, for a request that is refused; whatever the level.
func TestLogHoldsNoSecrets(t *testing.T) {
	for _, level := range []string{"WARN", "DEBUG"} {
		t.Run(level, func(t *testing.T) {
			ingress := open(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Secret", secrets["a header of the answer"])
				w.Header().Set("Set-Cookie", "session="+secrets["a cookie of the answer"])
				switch r.URL.Path {
				case "/api/account/exists/" + secrets["an account number"]: // dies
					panic(http.ErrAbortHandler)
				case "/api/transfer/list": // answers itself
					w.WriteHeader(http.StatusInternalServerError)
					fmt.Fprint(w, secrets["what an answer's body is"])
				default: // answers for as long as somebody reads
					w.Header().Set("X-Request-ID", "some-id")
					for r.Context().Err() == nil {
						if _, err := w.Write(bytes.Repeat([]byte(secrets["what an answer's body is"]), 1000)); err != nil {
							return
						}
					}
				}
			}, map[string]string{"DAPR_API_TOKEN": secrets["the sidecar's token"], "INGRESS_LOG_LEVEL": level})

			ask := func(target string, read int) {
				conn, err := net.Dial("tcp", ingress.Address)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if err := conn.(*net.TCPConn).SetLinger(0); err != nil { // closing resets
					t.Fatal(err)
				}
				fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nIdempotency-Key: %s\r\nAuthorization: Bearer %s\r\nProxy-Authorization: %[4]s\r\nCookie: a=%s\r\nX-Any: %s\r\nReferer: %[6]s\r\nUser-Agent: %[6]s\r\n\r\n",
					target, secrets["a host"], secrets["an idempotency key"], secrets["a customer's token"], secrets["a cookie"], secrets["any other header"])
				if _, err := io.ReadFull(conn, make([]byte, read)); err != nil {
					t.Fatal(err)
				}
			}
			const aborted = "aborting with incomplete response"
			targets := []string{
				"/api/fee/" + secrets["an account number"] + "?" + secrets["a query"], "/swagger/" + secrets["a path that is not ours"],
				"/api/account/statement?cursor=" + secrets["a query"], "/api/schema/account",
			}
			for _, target := range targets {
				ask(target, 1)
			}
			ask("/api/account/exists/"+secrets["an account number"], 9)
			ask("/api/transfer/list?"+secrets["a query"], 9)
			ask("/"+secrets["a path that is not ours"], 9)
			ask("http://"+secrets["a host"]+"/"+secrets["a path that is not ours"], 9)
			ask("http://"+secrets["user information"]+"@bank/api/fee/"+secrets["an account number"], 9)

			deadline := time.Now().Add(20 * time.Second)
			for strings.Count(logOf(t, ingress), aborted) < len(targets) {
				if time.Now().After(deadline) {
					t.Fatalf("%d of %d resets are in the log", strings.Count(logOf(t, ingress), aborted), len(targets))
				}
				time.Sleep(20 * time.Millisecond)
			}
			log := logOf(t, ingress)
			for what, mark := range secrets {
				if at := strings.Index(log, mark); at >= 0 {
					t.Errorf("the log holds %s: …%s", what, log[max(0, at-200):at+len(mark)])
				}
			}
			for _, useful := range []string{`"uri":"/api/fee"`, `"method":"GET"`, `"remote_ip":"127.0.0.1"`} {
				if !strings.Contains(log, useful) {
					t.Errorf("the log does not hold %s", useful)
				}
			}
		})
	}
}

// Whoever is told an id to quote is found by it in the log, which says what happened.
func TestLogHoldsTheIDOfAFailure(t *testing.T) {
	ingress := open(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/account/dies":
			panic(http.ErrAbortHandler)
		case "/api/account/away": // as the sidecar answers for an app that is away
			w.WriteHeader(http.StatusInternalServerError)
		case "/api/account/fails": // as the app answers
			w.Header().Set("X-Request-ID", r.Header.Get("X-Request-ID"))
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}, nil)
	paths := []string{"dies", "away", "fails"}
	for _, path := range paths {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ingress.Address+"/api/account/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Request-ID", "quote-"+path)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("X-Request-ID") != "quote-"+path {
			t.Errorf("%s: %d %s", path, resp.StatusCode, resp.Header)
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for _, path := range paths {
		for !regexp.MustCompile(`"uri":"/api/account".*"status":503.*"request_id":"quote-` + path + `"`).MatchString(logOf(t, ingress)) {
			if time.Now().After(deadline) {
				t.Fatalf("%s is not in the log", path)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}
