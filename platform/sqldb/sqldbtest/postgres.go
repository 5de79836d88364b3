//go:build backends

package sqldbtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/bankmore/bankmore/platform/sqldb"
)

// Postgres is the engine that needs the server.
var Postgres = Engine{
	Name: "postgres", URL: postgresURL, explain: "EXPLAIN ", copied: postgresCopy,
	unguard: `SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
			WHERE contype IN ('c', 'f') AND connamespace = 'public'::regnamespace`,
	expand: `SELECT format('ALTER TABLE %I ADD COLUMN from_the_next_version TEXT', tablename) FROM pg_tables
		WHERE schemaname = 'public' AND tablename NOT LIKE 'goose%'`,
}

func init() { Engines = append(Engines, Postgres) }

func postgresURL(t testing.TB) string {
	t.Helper()
	return create(t, "")
}

// postgresCopy copies the template of the migrations.
func postgresCopy(t testing.TB, migrations fs.FS) string {
	t.Helper()
	return create(t, " TEMPLATE "+template(t, migrations))
}

// create makes a database, which the end of the test deletes, and returns its URL.
func create(t testing.TB, from string) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text())
	administer(t, "CREATE DATABASE "+name+from)
	t.Cleanup(func() { administer(t, "DROP DATABASE "+name+" WITH (FORCE)") })
	return address(t, name)
}

// template returns the name of a database that has the tables of the migrations and takes no connections. The first test that
// asks for it makes it, while others wait. It stays on the server, for all packages and runs that have the same migrations.
func template(t testing.TB, migrations fs.FS) string {
	t.Helper()
	hash := sha256.New()
	if err := fs.WalkDir(migrations, "postgres", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(migrations, path)
		fmt.Fprintf(hash, "%s %d\n%s", path, len(content), content)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	sum := hash.Sum(nil)
	name := "template_" + hex.EncodeToString(sum[:16])
	conn := connect(t)
	defer conn.Close(context.WithoutCancel(t.Context())) // which also ends the lock
	execute(t, conn, "SELECT pg_advisory_lock($1)", int64(binary.BigEndian.Uint64(sum)))
	var made bool
	if err := conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate)", name).Scan(&made); err != nil {
		t.Fatal(err)
	}
	if made {
		return name
	}
	execute(t, conn, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") // a test that was killed has left it unfinished
	execute(t, conn, "CREATE DATABASE "+name)
	db, err := sqldb.Open(t.Context(), address(t, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Migrate(t.Context(), migrations), db.Close()); err != nil {
		t.Fatal(err)
	}
	execute(t, conn, "ALTER DATABASE "+name+" WITH IS_TEMPLATE true ALLOW_CONNECTIONS false")
	return name
}

// address returns the URL of a database on the server of the tests.
func address(t testing.TB, database string) string {
	t.Helper()
	target, err := url.Parse(os.Getenv("BACKENDS_POSTGRES_URL"))
	if err != nil || target.Host == "" {
		t.Fatal(`BACKENDS_POSTGRES_URL is not set, or is no URL: eval "$(.ci/backends env)"`)
	}
	if database != "" {
		target.Path = "/" + database
	}
	return target.String()
}

func administer(t testing.TB, statement string) {
	t.Helper()
	conn := connect(t)
	defer conn.Close(context.WithoutCancel(t.Context()))
	execute(t, conn, statement)
}

// connect opens a session on the server of the tests.
func connect(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.WithoutCancel(t.Context()), address(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func execute(t testing.TB, conn *pgx.Conn, statement string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(context.WithoutCancel(t.Context()), statement, args...); err != nil {
		t.Fatal(err)
	}
}
