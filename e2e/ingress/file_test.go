package ingress_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// A sidecar drops the Content-Length of an answer, and ends one that its app broke off as if it were whole. A client of the
// ingress gets the length all the same, and sees that a file is not whole.
func TestFilesHaveTheirLength(t *testing.T) {
	const length = 1 << 20
	ingress := open(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-ID", r.Header.Get("X-Request-ID"))
		w.Header().Set("X-Content-Length", strconv.Itoa(length))
		w.WriteHeader(http.StatusOK)
		sent := length
		if r.URL.Query().Has("broken") {
			sent = length - 1
		}
		for ; sent > 0; sent -= min(sent, 1000) {
			_, _ = io.WriteString(w, strings.Repeat("x", min(sent, 1000)))
			w.(http.Flusher).Flush()
		}
	}, nil)
	for query, whole := range map[string]bool{"": true, "?broken=": false} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ingress.Address+"/api/account/statement/"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if (err == nil) != whole || resp.StatusCode != http.StatusOK || resp.ContentLength != length {
			t.Errorf("%q: status %d, length %d, %d bytes, %v", query, resp.StatusCode, resp.ContentLength, len(body), err)
		}
	}
}
