package ingress_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// A service learns from X-Real-IP alone who calls: the address that the ingress saw. What a client says about that is
// gone, by whatever header, unless it is a proxy that the ingress is told to trust.
func TestSourceIsWhatTheIngressSaw(t *testing.T) {
	claims := http.Header{
		"X-Real-IP": {"198.51.100.1", "198.51.100.2"}, "X-Forwarded-For": {"198.51.100.1"}, "X-Forwarded-Host": {"evil"}, "X-Forwarded-Proto": {"https"},
		"Forwarded": {"for=198.51.100.1"}, "True-Client-IP": {"198.51.100.1"}, "X-Client-IP": {"198.51.100.1"}, "CF-Connecting-IP": {"198.51.100.1"},
		"X_Real_IP": {"198.51.100.1"}, "X-Cluster-Client-IP": {"198.51.100.1"}, "Connection": {"X-Real-IP, X-Request-ID"},
	}
	for _, test := range []struct {
		what, trusted string
		header        http.Header
		want          string
	}{
		{"no claim", "", http.Header{}, "127.0.0.1"},
		{"claims of a client", "", claims, "127.0.0.1"},
		{"claims of a client, with a proxy elsewhere", "192.0.2.0/24", claims, "127.0.0.1"},
		{"a proxy", "127.0.0.1", http.Header{"X-Forwarded-For": {"203.0.113.7"}}, "203.0.113.7"},
		{"a proxy, IPv6", "127.0.0.1", http.Header{"X-Forwarded-For": {"2001:db8::7"}}, "2001:db8::7"},
		{"a proxy that appends to a claim", "127.0.0.1", http.Header{"X-Forwarded-For": {"198.51.100.1, 203.0.113.7"}, "X-Real-IP": {"198.51.100.1"}}, "203.0.113.7"},
		{"two proxies", "127.0.0.1/32 10.0.0.0/8", http.Header{"X-Forwarded-For": {"198.51.100.1, 203.0.113.7", "10.1.2.3"}}, "203.0.113.7"},
		{"a proxy that says nothing", "127.0.0.1", http.Header{}, "127.0.0.1"},
		{"a proxy that says nonsense", "127.0.0.1", http.Header{"X-Forwarded-For": {"nonsense"}}, "127.0.0.1"},
	} {
		t.Run(test.what, func(t *testing.T) {
			seen := make(chan http.Header, 1)
			ingress := open(t, func(w http.ResponseWriter, r *http.Request) {
				seen <- r.Header
				w.Header().Set("X-Request-ID", "some-id")
			}, map[string]string{"INGRESS_TRUSTED_PROXIES": test.trusted})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ingress.Address+"/api/account/balance", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header = test.header
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			header := <-seen
			if got := header["X-Real-Ip"]; !slices.Equal(got, []string{test.want}) {
				t.Errorf("X-Real-IP %q, want %q", got, test.want)
			}
			if header.Get("X-Request-ID") == "" {
				t.Error("no X-Request-ID")
			}
			for name, values := range header {
				if name != "X-Real-Ip" && (strings.Contains(name, "Forwarded") || strings.Contains(strings.Join(values, ""), "198.51.100")) {
					t.Errorf("%s: %q comes through", name, values)
				}
			}
		})
	}
}
