//go:build backends

package books_test

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/ops/internal/books"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// A role that may read the views, and nothing else, can check the books: docs/runbook.md says how to make it.
func TestCheckNeedsTheViewsOnly(t *testing.T) {
	role, password := "reader_"+strings.ToLower(rand.Text()), rand.Text()
	server := sqldbtest.Reopen(t, os.Getenv("BACKENDS_POSTGRES_URL"))
	administer := func(db *sqldb.DB, statement string) {
		t.Helper()
		if _, err := db.Exec(context.WithoutCancel(t.Context()), statement); err != nil {
			t.Error(err)
		}
	}
	administer(server, "CREATE ROLE "+role+" LOGIN PASSWORD '"+password+"'")
	t.Cleanup(func() { administer(server, "DROP ROLE "+role) })
	var dbs books.Databases
	w := &world{t: t, engine: sqldbtest.Postgres}
	for _, of := range []struct {
		service      string
		views        string
		writing, own **sqldb.DB
		private      string // a table
	}{
		{"account-svc", "books_accounts, books_movements", &w.account, &dbs.Account, "movements"},
		{"transfer-svc", "books_transfers, books_events", &w.transfer, &dbs.Transfer, "transfers"},
		{"fee-svc", "books_fees, books_events", &w.fee, &dbs.Fee, "debtors"},
	} {
		address := sqldbtest.Postgres.URL(t)
		db := sqldbtest.Reopen(t, address)
		if err := db.Migrate(t.Context(), os.DirFS("../../../"+of.service+"/internal/sqlstore/migrations")); err != nil {
			t.Fatal(err)
		}
		sqldbtest.Postgres.Unguard(t, db)
		administer(db, "GRANT SELECT ON "+of.views+" TO "+role)
		t.Cleanup(func() { administer(db, "REVOKE ALL ON "+of.views+" FROM "+role) })
		reader, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		reader.User = url.UserPassword(role, password)
		*of.writing, *of.own = db, sqldbtest.Look(t, reader.String())
		if _, err := (*of.own).Read().ExecContext(t.Context(), "SELECT FROM "+of.private); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: the role reads %s: %v", of.service, of.private, err)
		}
	}
	w.looking = dbs
	w.reset(t)
	w.ordinary()
	w.want(true)
}
