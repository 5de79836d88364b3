package ingress_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// page is the origin of a page that the tests' lists name.
const page = "https://app.example.com"

// service plays a service behind its sidecar. It answers everything, but /api/fee/my as a sidecar does that has no service, and it
// notes the method of each request.
func service(asked chan<- string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method
		if r.URL.Path == "/api/fee/my" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("X-Request-ID", r.Header.Get("X-Request-ID"))
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Vary", "Accept-Language")
	}
}

// exchange sends one request with its headers and returns the answer, whose body has been read.
func exchange(t *testing.T, client *http.Client, method, url string, header http.Header) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp
}

// wantHeaders compares headers of an answer. Each has exactly one field line, and "" means none.
func wantHeaders(t *testing.T, what string, resp *http.Response, want map[string]string) {
	t.Helper()
	for name, value := range want {
		got := resp.Header.Values(name)
		if value == "" && len(got) > 0 || value != "" && !slices.Equal(got, []string{value}) {
			t.Errorf("%s: %s is %q, want %q", what, name, got, value)
		}
	}
}

// Every answer tells browsers what not to do with it, whoever gives it: a service, the ingress, or the ingress for want of a service.
// The pages of /swagger/ say themselves what they may load.
func TestSecurityHeaders(t *testing.T) {
	asked := make(chan string, 100)
	ingress := open(t, service(asked), nil)
	for _, test := range []struct {
		method, path string
		status       int
		policy       string
	}{
		{"GET", "/api/account/balance", 200, "default-src 'none'; frame-ancestors 'none'"},
		{"GET", "/api/schema/account", 200, "default-src 'none'; frame-ancestors 'none'"},
		{"GET", "/api/fee/my", 503, "default-src 'none'; frame-ancestors 'none'"},
		{"GET", "/api/nothing", 404, "default-src 'none'; frame-ancestors 'none'"},
		{"GET", "/api/account/..%2f", 404, "default-src 'none'; frame-ancestors 'none'"},
		{"BREW", "/api/account/balance", 405, "default-src 'none'; frame-ancestors 'none'"},
		{"GET", "/healthz", 200, "default-src 'none'; frame-ancestors 'none'"},
		{"POST", "/healthz", 405, "default-src 'none'; frame-ancestors 'none'"},
		{"GET", "/swagger/swagger-ui.css", 200, ""},
		{"GET", "/swagger/", 200, ""},
	} {
		what := test.method + " " + test.path
		resp := exchange(t, http.DefaultClient, test.method, "http://"+ingress.Address+test.path, nil)
		if resp.StatusCode != test.status {
			t.Errorf("%s: %d, want %d", what, resp.StatusCode, test.status)
		}
		wantHeaders(t, what, resp, map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Content-Security-Policy": test.policy, "Strict-Transport-Security": "", "Server": "", "Via": "",
		})
		if vary := resp.Header.Values("Vary"); !slices.Contains(vary, "Origin") {
			t.Errorf("%s: Vary is %q", what, vary)
		}
		if len(resp.Header.Values("X-Request-ID")) != 1 {
			t.Errorf("%s: X-Request-ID is %q", what, resp.Header.Values("X-Request-ID"))
		}
	}
	// This request breaks off inside the proxy.
	conn, err := net.Dial("tcp", ingress.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /api/account/movement HTTP/1.1\r\nHost: bank\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	wantHeaders(t, "a malformed body", resp, map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"})
}

// A page of an origin on the list may read answers, whatever their status, and no other page may. No list is an empty list.
// Credentials of the browser are never asked for.
func TestPagesOfOtherOrigins(t *testing.T) {
	const exposed = "Content-Disposition, Idempotency-Replayed, Location, Retry-After, Statement-Complete-Until, WWW-Authenticate, X-Request-ID"
	for _, test := range []struct {
		list    string
		origins map[string]bool // which may read
	}{
		{"", map[string]bool{page: false, "null": false, "https://": false}},
		{page + " http://localhost:5173", map[string]bool{
			page: true, "http://localhost:5173": true,
			"http://app.example.com": false, page + ":8443": false, page + ".evil.test": false, "https://evil.test": false, "https://app.example.co": false,
			"https://xapp.example.com": false, "app.example.com": false, "null": false, page + " http://localhost:5173": false, page + "/": false, "HTTPS://APP.EXAMPLE.COM": false,
		}},
		{"http://localhost:5173," + page, map[string]bool{page: true, "http://localhost:5173": true, "http://localhost:5173," + page: false}},
		{"* https://* null https://*.example.com", map[string]bool{page: false, "null": false, "*": false, "https://*": false, "https://*.example.com": false}},
	} {
		t.Run(test.list, func(t *testing.T) {
			asked := make(chan string, 100)
			ingress := open(t, service(asked), map[string]string{"CORS_ALLOWED_ORIGINS": test.list})
			for origin, may := range test.origins {
				for path, status := range map[string]int{"/api/account/balance": 200, "/api/fee/my": 503, "/api/nothing": 404} {
					what := origin + " " + path
					resp := exchange(t, http.DefaultClient, "GET", "http://"+ingress.Address+path, http.Header{"Origin": {origin}})
					if resp.StatusCode != status {
						t.Errorf("%s: %d, want %d", what, resp.StatusCode, status)
					}
					want := map[string]string{"Access-Control-Allow-Origin": "", "Access-Control-Expose-Headers": "", "Access-Control-Allow-Credentials": ""}
					if may {
						want["Access-Control-Allow-Origin"], want["Access-Control-Expose-Headers"] = origin, exposed
					}
					wantHeaders(t, what, resp, want)
					if !slices.Contains(resp.Header.Values("Vary"), "Origin") {
						t.Errorf("%s: Vary is %q", what, resp.Header.Values("Vary"))
					}
				}
				for len(asked) > 0 {
					<-asked
				}

				preflight := http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization,content-type,idempotency-key"}}
				resp := exchange(t, http.DefaultClient, "OPTIONS", "http://"+ingress.Address+"/api/transfer/", preflight)
				want, status := map[string]string{"Access-Control-Allow-Origin": "", "Access-Control-Allow-Methods": "", "Access-Control-Allow-Headers": "", "Access-Control-Allow-Credentials": ""}, 405
				if may {
					status = 204
					want["Access-Control-Allow-Origin"] = origin
					want["Access-Control-Allow-Methods"] = "GET, HEAD, POST, PUT"
					want["Access-Control-Allow-Headers"] = "Authorization, Content-Type, Idempotency-Key, X-Request-ID, traceparent, tracestate"
					want["Access-Control-Max-Age"] = "600"
				}
				if resp.StatusCode != status {
					t.Errorf("preflight of %s: %d, want %d", origin, resp.StatusCode, status)
				}
				wantHeaders(t, "preflight of "+origin, resp, want)
				if vary := strings.Join(resp.Header.Values("Vary"), ", "); !strings.Contains(vary, "Origin") || may && !strings.Contains(vary, "Access-Control-Request-Method, Access-Control-Request-Headers") {
					t.Errorf("preflight of %s: Vary is %q", origin, vary)
				}
				if len(asked) > 0 {
					t.Errorf("preflight of %s: a service is asked", origin)
				}
			}
			if vary := exchange(t, http.DefaultClient, "GET", "http://"+ingress.Address+"/api/account/balance", nil).Header.Values("Vary"); !slices.Equal(vary, []string{"Accept-Language", "Origin"}) {
				t.Errorf("without an origin, Vary is %q", vary)
			}
		})
	}
}
