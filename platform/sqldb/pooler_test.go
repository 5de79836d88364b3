//go:build backends

package sqldb_test

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// through returns the URL of a new database through the PgBouncer whose address a variable names.
func through(t *testing.T, variable string, parameters ...string) string {
	t.Helper()
	address := os.Getenv(variable)
	if address == "" {
		t.Fatal(variable + ` is not set: eval "$(.ci/backends env)"`)
	}
	u, err := url.Parse(parametrized(t, sqldbtest.Postgres.URL(t), parameters...))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = address
	return u.String()
}

// setting returns the value of a setting in a session of db.
func setting(t *testing.T, db *sqldb.DB, name string) (value string) {
	t.Helper()
	if err := db.Read().QueryRowContext(t.Context(), "SELECT current_setting($1)", name).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// The services' connections find rows by an index; those that read whole tables may scan them. Each kind of connection sets that
// itself, with a pooler and without, although the database, or the URL as well, sets the values of the other kind.
func TestSettingsOfEachConnection(t *testing.T) {
	const query = `SELECT concat_ws(' ', current_setting('enable_seqscan'), current_setting('enable_mergejoin'), current_setting('jit'),
		current_setting('statement_timeout'), current_setting('default_transaction_read_only'))`
	recording := fstest.MapFS{"postgres/00001_record.sql": {Data: []byte("-- +goose Up\nCREATE TABLE migrated AS " + query + " AS settings;\n")}}
	for name, parameters := range map[string][]string{
		"set for the database": nil,
		"and in the URL":       {"enable_seqscan", "off", "enable_mergejoin", "off"},
	} {
		for way, rawURL := range map[string]string{
			"directly":         parametrized(t, sqldbtest.Postgres.URL(t), parameters...),
			"through a pooler": through(t, "BACKENDS_PGBOUNCER_SESSION", parameters...),
		} {
			t.Run(name+", "+way, func(t *testing.T) {
				first := sqldbtest.Reopen(t, rawURL)
				for _, parameter := range []string{"enable_seqscan = off", "enable_mergejoin = off", "jit = on"} {
					change := fmt.Sprintf("DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I SET %s', current_database()); END $$", parameter)
					if _, err := first.Exec(t.Context(), change); err != nil {
						t.Fatal(err)
					}
				}
				service, looking := sqldbtest.Reopen(t, rawURL), sqldbtest.Look(t, rawURL)
				if err := service.Migrate(t.Context(), recording); err != nil {
					t.Fatal(err)
				}
				for _, kind := range []struct {
					name  string
					db    *sqldb.DB
					query string
					want  string
				}{
					{"serve", service, query, "off off off 8s off"},
					{"verify", looking, query, "on on on 0 on"},
					{"migrate", service, "SELECT settings FROM migrated", "on on off 0 off"},
				} {
					var got string
					if err := kind.db.Read().QueryRowContext(t.Context(), kind.query).Scan(&got); err != nil || got != kind.want {
						t.Errorf("%s has %q, %v; want %q", kind.name, got, err, kind.want)
					}
				}
			})
		}
	}
}

// Through PgBouncer in session mode everything works as without it. Every session has its settings, although PgBouncer
// accepts no settings with the connection.
func TestPgBouncerSessionMode(t *testing.T) {
	rawURL := through(t, "BACKENDS_PGBOUNCER_SESSION", "lock_timeout", "1s")
	db := sqldbtest.Reopen(t, rawURL)
	var all sync.WaitGroup
	for range 3 { // replicas that start together
		all.Go(func() {
			if err := db.Migrate(t.Context(), migrations); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 32 { // several sessions at once, and each several times
		all.Go(func() {
			if err := db.InTx(t.Context(), add(t.Context(), strings.Repeat("x", i+1))); err != nil {
				t.Error(err)
			}
			err := db.InPipeline(t.Context(), func(p *sqldb.Pipeline) error {
				batch := p.Batch()
				batch.Queue("INSERT INTO parents (id) VALUES ($1)", strings.Repeat("y", i+1))
				return p.Send(t.Context(), batch)
			})
			if err != nil {
				t.Error(err)
			}
			for name, want := range map[string]string{"statement_timeout": "8s", "lock_timeout": "1s", "application_name": "bankmore"} {
				if got := setting(t, db, name); got != want {
					t.Errorf("%s is %s, want %s", name, got, want)
				}
			}
		})
	}
	all.Wait()
	looking := sqldbtest.Look(t, rawURL)
	for name, want := range map[string]string{"statement_timeout": "0", "lock_timeout": "1s", "default_transaction_read_only": "on", "work_mem": "64MB"} {
		if got := setting(t, looking, name); got != want {
			t.Errorf("for reading, %s is %s, want %s", name, got, want)
		}
	}
	var out bytes.Buffer
	if err := looking.Verify(t.Context(), &out, []sqldb.Invariant{{Name: "none", Query: "SELECT id FROM parents WHERE id = 'none'"}}); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
}

// PgBouncer has room for a single session. Only the second session, which keepsSessions opens, waits in vain; everything
// else works.
func TestPgBouncerWithOneSession(t *testing.T) {
	u, err := url.Parse(through(t, "BACKENDS_PGBOUNCER_SESSION", "pool_max_conns", "1"))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/one"
	db := sqldbtest.Reopen(t, u.String())
	if got := setting(t, db, "statement_timeout"); got != "8s" {
		t.Errorf("statement_timeout is %s", got)
	}
}

// A service refuses PgBouncer in transaction mode when it starts, whatever settings PgBouncer ignores. The error says what
// to set.
func TestPgBouncerTransactionMode(t *testing.T) {
	rawURL := through(t, "BACKENDS_PGBOUNCER_TRANSACTION")
	for name, open := range map[string]sqldb.Opener{"serve, migrate": sqldb.Open, "verify": sqldb.OpenReadOnly} {
		db, err := open(context.WithoutCancel(t.Context()), rawURL)
		if err == nil {
			t.Errorf("%s: accepted", name)
			_ = db.Close()
		} else if !strings.Contains(err.Error(), "set pool_mode = session for this database, or name PostgreSQL itself") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
