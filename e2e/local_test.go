//go:build !backends

package e2e_test

import (
	"database/sql"
	"net/url"
	"testing"

	_ "modernc.org/sqlite" // the driver that the services use

	"github.com/bankmore/bankmore/e2e/stack"
)

// profile is what the system stands on: SQLite and the embedded broker.
func profile() (stack.Options, error) { return stack.Options{}, nil }

// openBooks opens the three databases read-only, so that one query can compare them, as account, transfer and fee.
func openBooks(t *testing.T) *sql.Conn {
	t.Helper()
	return attach(t, "mode=ro", system.Apps["account-svc"].Database, system.Apps["transfer-svc"].Database, system.Apps["fee-svc"].Database)
}

// tablesOf finds the tables of one of the databases.
const tablesOf = "SELECT name FROM %s.sqlite_schema WHERE type = 'table'"

func attach(t *testing.T, mode, account, transfer, fee string) *sql.Conn {
	t.Helper()
	db, err := sql.Open("sqlite", "file::memory:?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // before db, which does not close what is in use
	for schema, path := range map[string]string{"account": account, "transfer": transfer, "fee": fee} {
		uri := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + mode
		if _, err := conn.ExecContext(t.Context(), "ATTACH $1 AS $2", uri, schema); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}
