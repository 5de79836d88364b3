//go:build backends

package sqldbtest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Postgres is the engine that needs the server.
var Postgres = Engine{
	Name: "postgres", URL: postgresURL, explain: "EXPLAIN ",
	unguard: `SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
			WHERE contype IN ('c', 'f') AND connamespace = 'public'::regnamespace`,
	expand: `SELECT format('ALTER TABLE %I ADD COLUMN from_the_next_version TEXT', tablename) FROM pg_tables
		WHERE schemaname = 'public' AND tablename NOT LIKE 'goose%'`,
}

func init() { Engines = append(Engines, Postgres) }

func postgresURL(t testing.TB) string {
	t.Helper()
	server := os.Getenv("BACKENDS_POSTGRES_URL")
	if server == "" {
		t.Fatal(`BACKENDS_POSTGRES_URL is not set: eval "$(.ci/backends env)"`)
	}
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal("BACKENDS_POSTGRES_URL is no URL")
	}
	target.Path = "/test_" + strings.ToLower(rand.Text())
	administer(t, server, "CREATE DATABASE "+target.Path[1:])
	t.Cleanup(func() { administer(t, server, "DROP DATABASE "+target.Path[1:]+" WITH (FORCE)") })
	return target.String()
}

func administer(t testing.TB, server, statement string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatal(err)
	}
}
