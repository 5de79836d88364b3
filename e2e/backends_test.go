//go:build backends

package e2e_test

import (
	"database/sql"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver that the services use

	"github.com/bankmore/bankmore/e2e/stack"
)

// profile is what the system stands on: the servers of production.
func profile() (stack.Options, error) {
	backends, err := stack.RealBackends()
	return stack.Options{Backends: backends}, err
}

// openBooks opens the database read-only. It has the schemas account, transfer and fee, which one query can compare.
func openBooks(t *testing.T) *sql.Conn {
	t.Helper()
	db, err := sql.Open("pgx", system.Backends.DatabaseURL(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // before db, which does not close what is in use
	if _, err := conn.ExecContext(t.Context(), "SET default_transaction_read_only = on"); err != nil {
		t.Fatal(err)
	}
	return conn
}

// tablesOf finds the tables of one of the schemas, also those that are another database's.
const tablesOf = "SELECT table_name FROM information_schema.tables WHERE table_schema = '%s'"
