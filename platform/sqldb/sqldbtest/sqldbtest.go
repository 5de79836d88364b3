// Package sqldbtest gives each test an empty database of its own, on every engine. SQLite is always tested. With the build
// tag backends PostgreSQL is tested as well, on the server that BACKENDS_POSTGRES_URL names.
package sqldbtest

import (
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/platform/sqldb"
)

// Engine makes databases.
type Engine struct {
	Name string
	URL  func(t testing.TB) string // makes an empty database, which the end of the test deletes, and returns its URL

	unguard string // a query for the statements that Unguard runs
	expand  string // a query for the statements that OpenExpanded runs
	explain string
}

// SQLite is the engine that needs no server.
var SQLite = Engine{
	Name: "sqlite", URL: sqliteURL, explain: "EXPLAIN QUERY PLAN ",
	unguard: `SELECT 'DROP TRIGGER ' || name FROM sqlite_master WHERE type = 'trigger'
		UNION ALL SELECT 'PRAGMA ignore_check_constraints = 1'`,
	expand: `SELECT 'ALTER TABLE ' || name || ' ADD COLUMN from_the_next_version TEXT' FROM sqlite_master
		WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'goose%'`,
}

// Engines are the engines that tests run on.
var Engines = []Engine{SQLite}

func sqliteURL(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "test.db")
}

// Each runs test once per engine.
func Each(t *testing.T, test func(t *testing.T, engine Engine)) {
	t.Helper()
	for _, engine := range Engines {
		t.Run(engine.Name, func(t *testing.T) { test(t, engine) })
	}
}

// Open returns a new database with the tables of the migrations.
func (e Engine) Open(t testing.TB, migrations fs.FS) *sqldb.DB {
	t.Helper()
	db := Reopen(t, e.URL(t))
	if err := db.Migrate(t.Context(), migrations); err != nil {
		t.Fatal(err)
	}
	return db
}

// Reopen opens the database at url, until the end of the test.
func Reopen(t testing.TB, url string) *sqldb.DB {
	t.Helper()
	return reopen(t, url, sqldb.Open)
}

// Look is Reopen for reading only.
func Look(t testing.TB, url string) *sqldb.DB {
	t.Helper()
	return reopen(t, url, sqldb.OpenReadOnly)
}

func reopen(t testing.TB, url string, open sqldb.Opener) *sqldb.DB {
	t.Helper()
	db, err := open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// Unguard removes the triggers, checks and references that keep violations out of the database. Then a test can make a
// violation, and show that verify finds it.
func (e Engine) Unguard(t testing.TB, db *sqldb.DB) {
	t.Helper()
	run(t, db, e.unguard)
}

// OpenExpanded is Open with one more column in each table, as after a migration of the next version. The present version has
// to work with such a database while replicas are replaced one by one.
func (e Engine) OpenExpanded(t testing.TB, migrations fs.FS) *sqldb.DB {
	t.Helper()
	db := e.Open(t, migrations)
	run(t, db, e.expand)
	return db
}

// run executes the statements that a query returns.
func run(t testing.TB, db *sqldb.DB, query string) {
	t.Helper()
	err := db.InTx(t.Context(), func(tx *sql.Tx) error {
		statements, err := texts(tx.QueryContext(t.Context(), query))
		if err != nil {
			return err
		}
		for _, statement := range statements {
			if _, err := tx.ExecContext(t.Context(), statement); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Plan returns the database's plan for a query.
func (e Engine) Plan(t testing.TB, db *sqldb.DB, query string, args ...any) string {
	t.Helper()
	lines, err := texts(db.Read().QueryContext(t.Context(), e.explain+query, args...))
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return strings.Join(lines, "\n")
}

// texts returns the values of the last column.
func texts(rows *sql.Rows, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var all []string
	for rows.Next() {
		var text string
		into := make([]any, len(columns))
		for i := range into {
			into[i] = new(any)
		}
		into[len(into)-1] = &text
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}

// Documented returns the statement of a Markdown file that begins with start, so that a test can run what an operator would.
func Documented(t testing.TB, path, start string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n"+start)
	statement, _, ended := strings.Cut(rest, ";\n")
	if !found || !ended {
		t.Fatalf("%s has no statement %q", path, start)
	}
	return start + statement
}
