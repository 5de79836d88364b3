package suite_test

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A statement of 100,000 movements comes whole through two sidecars and the ingress, whose memory hardly grows. If account-svc
// dies on the way, the client sees that the file is not whole, although the sidecars end it as if it were.
func longStatement(t *testing.T) {
	const movements = 100_000
	ana := system.NewCustomer(t, "Ana Longa", "")
	app := system.Apps["account-svc"]
	db, err := sql.Open("sqlite", "file:"+app.Database+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`WITH RECURSIVE i (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < $1)
			INSERT INTO movements SELECT '00000000-0000-0000-0000-' || (100000000000 + i), 'bulk ' || i, 'f', (SELECT id FROM accounts WHERE number = $2), i, 'C', 1,
				'cash', 'deposit', '', '', 'Depósito', i, 1767268800000000 + i, NULL, NULL FROM i`,
		"UPDATE accounts SET balance = $1, version = $1 WHERE number = $2",
	} {
		if _, err := db.ExecContext(t.Context(), statement, movements, ana.Number); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	get := func(ctx context.Context) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, system.URL()+"/api/account/statement/?format=ofx&from=2026-01-01&to=2026-01-31", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = ana.Header()
		resp, err := http.DefaultTransport.RoundTrip(req) // not through the check of the contract, which would keep the answer
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d", resp.StatusCode)
		}
		return resp
	}
	begin := time.Now()
	resp := get(t.Context())
	var last tail
	n, err := io.Copy(&last, resp.Body)
	if err != nil || n != resp.ContentLength || n < 16<<20 || !strings.HasSuffix(string(last.end), "</OFX>") {
		t.Fatalf("%d of %d bytes, ending with %q, %v", n, resp.ContentLength, last.end, err)
	}
	t.Logf("%d bytes in %v", n, time.Since(begin).Round(time.Millisecond))

	resp = get(t.Context())
	if _, err := io.CopyN(io.Discard, resp.Body, 64<<10); err != nil {
		t.Fatal(err)
	}
	if err := app.Service.Kill(); err != nil {
		t.Fatal(err)
	}
	defer start(t, app.Service)
	if rest, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("a file that broke off looks whole: %d of %d bytes", 64<<10+rest, resp.ContentLength)
	}
}

// tail keeps the end of what is written.
type tail struct{ end []byte }

func (w *tail) Write(p []byte) (int, error) {
	w.end = append(w.end, p...)
	w.end = w.end[max(0, len(w.end)-16):]
	return len(p), nil
}
