package bank

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"
)

// OpenBooks opens the services' databases, read-only, as the schemas account, transfer and fee, until the test ends.
func (b *Bank) OpenBooks(t *testing.T) *sql.Conn {
	t.Helper()
	driver, source, statements := b.Books()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // before db, which does not close what is in use
	for _, statement := range statements {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

// Lines runs a query of one text column.
func Lines(ctx context.Context, conn *sql.Conn, query string, args ...any) ([]string, error) {
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("%w in %s", err, query)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		out = append(out, line)
	}
	return out, rows.Err()
}

// Settle waits until nothing is on its way any more. A fee may wait for money as long as it takes.
func (b *Bank) Settle(t *testing.T) {
	t.Helper()
	if err := b.SettledWithin(t, 60*time.Second); err != nil {
		t.Fatal(err)
	}
}

// SettledWithin waits, for as long as limit, until nothing is in flight between the three databases. It does not judge what is there.
func (b *Bank) SettledWithin(t *testing.T, limit time.Duration) error {
	t.Helper()
	return Within(limit, func() error {
		out, err := b.Ops(t.Context(), "verify", "-at-rest", "-grace", "24h") // what is unfinished is in flight, however old
		if strings.Contains(out, "VIOLATION ") && !strings.Contains(out, "VIOLATION nothing is in flight: ") {
			return nil
		}
		return err
	})
}

// CheckBooks waits until nothing is on its way and then checks that money was neither made nor lost: across the services, and
// in each of them.
func (b *Bank) CheckBooks(t *testing.T) {
	t.Helper()
	if t.Failed() {
		return // what is wrong has been said; the checks below would only wait for it
	}
	b.Settle(t)
	if _, err := b.Ops(t.Context(), "verify", "-at-rest"); err != nil {
		t.Error(err)
	}
	if err := b.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}
