package sqldb_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
	"github.com/bankmore/bankmore/platform/telemetry/telemetrytest"
	"github.com/bankmore/bankmore/platform/verify"
)

const initial = `-- +goose Up
CREATE TABLE parents (id TEXT PRIMARY KEY);
CREATE TABLE children (
	id TEXT PRIMARY KEY,
	parent TEXT NOT NULL REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED,
	amount BIGINT NOT NULL DEFAULT 0 CHECK (amount >= 0)
);
`

const more = "-- +goose Up\nINSERT INTO parents (id) VALUES ('first');\n"

var migrations = fstest.MapFS{
	"sqlite/00001_init.sql": {Data: []byte(initial)}, "sqlite/00002_more.sql": {Data: []byte(more)},
	"postgres/00001_init.sql": {Data: []byte(initial)}, "postgres/00002_more.sql": {Data: []byte(more)},
}

// open is a fresh SQLite database with the tables of the migrations.
func open(t *testing.T) *sqldb.DB {
	t.Helper()
	return sqldbtest.SQLite.Open(t, migrations)
}

func reopen(t *testing.T, path string) *sqldb.DB {
	t.Helper()
	return sqldbtest.Reopen(t, "sqlite:"+path)
}

// add returns a transaction that adds a parent.
func add(ctx context.Context, id string) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO parents (id) VALUES ($1)", id)
		return err
	}
}

func parents(t *testing.T, db *sqldb.DB) (ids string) {
	t.Helper()
	err := db.Read().QueryRowContext(t.Context(), "SELECT coalesce(string_agg(id, ',' ORDER BY id), '') FROM parents").Scan(&ids)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// pragma reads a setting of the connection that q uses.
func pragma(t *testing.T, q interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, name string) (value string) {
	t.Helper()
	if err := q.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// An acknowledged commit must survive a power cut, and a violated reference must not get in: on every connection.
func TestDurabilityIsReallySet(t *testing.T) {
	db := open(t)
	want := map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000",
		"cache_size": "-4096", "temp_store": "2", "query_only": "0",
	}
	err := db.InTx(t.Context(), func(tx *sql.Tx) error {
		for name, value := range want {
			if got := pragma(t, tx, name); got != value {
				t.Errorf("writer: %s = %s, want %s", name, got, value)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want["query_only"] = "1"
	for range 8 { // held, so that each is another connection
		conn, err := db.Read().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for name, value := range want {
			if got := pragma(t, conn, name); got != value {
				t.Errorf("reader: %s = %s, want %s", name, got, value)
			}
		}
	}
}

func TestReadPoolRefusesWrites(t *testing.T) {
	db := open(t)
	for _, statement := range []string{"INSERT INTO parents (id) VALUES ('x')", "DELETE FROM parents", "CREATE TABLE x (id TEXT)", "DROP TABLE parents"} {
		if _, err := db.Read().ExecContext(t.Context(), statement); err == nil {
			t.Errorf("%s: accepted", statement)
		}
	}
	if got := parents(t, db); got != "first" {
		t.Errorf("parents: %s", got)
	}
}

func TestInTxCommits(t *testing.T) { sqldbtest.Each(t, testInTxCommits) }

func testInTxCommits(t *testing.T, engine sqldbtest.Engine) {
	url := engine.URL(t)
	db := sqldbtest.Reopen(t, url)
	if err := db.Migrate(t.Context(), migrations); err != nil {
		t.Fatal(err)
	}
	if err := db.InTx(t.Context(), add(t.Context(), "second")); err != nil {
		t.Fatal(err)
	}
	if got := parents(t, sqldbtest.Reopen(t, url)); got != "first,second" {
		t.Errorf("another opener sees %s", got)
	}
}

// Each transaction and each query outside of one is measured. A transaction that the service itself gives up has not failed.
func TestCallsAreMeasured(t *testing.T) { sqldbtest.Each(t, testCallsAreMeasured) }

func testCallsAreMeasured(t *testing.T, e sqldbtest.Engine) {
	db := e.Open(t, migrations)
	ours := fault.New(fault.Conflict, "T", "no")
	for name, test := range map[string]struct {
		call      func()
		operation string
		ok        float64
		failed    float64
	}{
		"a commit":        {func() { _ = db.InTx(t.Context(), add(t.Context(), "measured")) }, "transaction", 1, 0},
		"a refusal":       {func() { _ = db.InTx(t.Context(), func(*sql.Tx) error { return ours }) }, "transaction", 1, 0},
		"a bad statement": {func() { _, _ = db.Exec(t.Context(), "no SQL") }, "transaction", 0, 1},
		"a row":           {func() { _ = db.Read().QueryRowContext(t.Context(), "SELECT 1").Err() }, "query", 1, 0},
		"no row":          {func() { _ = db.Read().QueryRowContext(t.Context(), "SELECT 1 WHERE 1 = 2").Scan(new(int)) }, "query", 1, 0},
		"a bad query":     {func() { _ = db.Read().QueryRowContext(t.Context(), "no SQL").Err() }, "query", 0, 1},
		"rows": {func() {
			rows, err := db.Read().QueryContext(t.Context(), "SELECT 1")
			if err != nil {
				t.Error(err)
				return
			}
			defer rows.Close()
			if rows.Next(); rows.Err() != nil {
				t.Error(rows.Err())
			}
		}, "query", 1, 0},
	} {
		measured := func(result string) float64 {
			return telemetrytest.Value(t, "bankmore_dependency_duration_seconds", "sql", test.operation, result)
		}
		ok, failed := measured("ok"), measured("failed")
		test.call()
		if ok, failed = measured("ok")-ok, measured("failed")-failed; ok != test.ok || failed != test.failed {
			t.Errorf("%s: %v ok and %v failed, want %v and %v", name, ok, failed, test.ok, test.failed)
		}
	}
}

func TestInTxRollsBack(t *testing.T) { sqldbtest.Each(t, testInTxRollsBack) }

func testInTxRollsBack(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, migrations)
	refused := fault.New(fault.Refused, "REFUSED", "Não.")
	inTx := func(fail func() error) error {
		return db.InTx(t.Context(), func(tx *sql.Tx) error {
			if err := add(t.Context(), "x")(tx); err != nil {
				t.Fatal(err)
			}
			return fail()
		})
	}
	if err := inTx(func() error { return refused }); !errors.Is(err, refused) {
		t.Errorf("a fault comes back as %v", err)
	}
	wrapped := fmt.Errorf("item 3: %w", refused)
	if err := inTx(func() error { return wrapped }); !errors.Is(err, wrapped) {
		t.Errorf("a wrapped fault comes back as %v", err)
	}
	plain := errors.New("plain")
	if err := inTx(func() error { return plain }); !errors.Is(err, plain) || fault.From(err).Kind != fault.Unavailable {
		t.Errorf("another error comes back as %v, want it inside a fault of kind Unavailable", err)
	}
	if got := parents(t, db); got != "first" {
		t.Errorf("after three failures: %s", got)
	}
	if err := db.InTx(t.Context(), add(t.Context(), "x")); err != nil {
		t.Errorf("the transaction after: %v", err)
	}
}

// There is one writer: a panic that kept it would stop every write of the service.
func TestPanicInTxFreesTheWriter(t *testing.T) { sqldbtest.Each(t, testPanicInTxFreesTheWriter) }

func testPanicInTxFreesTheWriter(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, migrations)
	func() {
		defer func() {
			if p := recover(); p != "boom" {
				t.Errorf("recovered %v", p)
			}
		}()
		_ = db.InTx(context.WithoutCancel(t.Context()), func(tx *sql.Tx) error {
			if err := add(t.Context(), "x")(tx); err != nil {
				t.Fatal(err)
			}
			panic("boom")
		})
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := db.InTx(ctx, add(ctx, "y")); err != nil {
		t.Fatalf("the transaction after a panic: %v", err)
	}
	if got := parents(t, db); got != "first,y" {
		t.Errorf("parents: %s", got)
	}
}

// A commit that fails leaves the connection fit for the next transaction.
func TestFailedCommit(t *testing.T) { sqldbtest.Each(t, testFailedCommit) }

func testFailedCommit(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, migrations)
	err := db.InTx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO children (id, parent) VALUES ('c', 'nobody')")
		return err // the reference is checked at the end of the transaction
	})
	if err == nil || fault.From(err).Kind != fault.Unavailable {
		t.Fatalf("commit = %v, want a fault of kind Unavailable", err)
	}
	if err := db.InTx(t.Context(), add(t.Context(), "x")); err != nil {
		t.Fatalf("the transaction after: %v", err)
	}
	var children int
	if err := db.Read().QueryRowContext(t.Context(), "SELECT count(*) FROM children").Scan(&children); err != nil || children != 0 {
		t.Errorf("%d children, %v", children, err)
	}
}

func TestCancelledTransaction(t *testing.T) { sqldbtest.Each(t, testCancelledTransaction) }

func testCancelledTransaction(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, migrations)
	ctx, cancel := context.WithCancel(t.Context())
	err := db.InTx(ctx, func(tx *sql.Tx) error {
		defer cancel()
		return add(ctx, "x")(tx)
	})
	// database/sql may have rolled back before the commit, or refuse the commit itself.
	if cut := errors.Is(err, context.Canceled) || errors.Is(err, sql.ErrTxDone); !cut || fault.From(err).Kind != fault.Unavailable {
		t.Errorf("InTx = %v, want a cut transaction inside a fault of kind Unavailable", err)
	}
	if got := parents(t, db); got != "first" {
		t.Errorf("parents: %s", got)
	}
	if err := db.InTx(ctx, func(*sql.Tx) error { t.Error("ran"); return nil }); fault.From(err).Kind != fault.Unavailable {
		t.Errorf("begin with an ended context: %v", err)
	}
	if err := db.InTx(t.Context(), add(t.Context(), "y")); err != nil {
		t.Errorf("the transaction after: %v", err)
	}
}

// A full disk refuses what it cannot keep, and the service goes on when there is room again.
func TestFullDatabase(t *testing.T) {
	db := open(t)
	limit := func(pages int) {
		t.Helper()
		err := db.InTx(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // rounds up to the present size
	err := db.InTx(t.Context(), func(tx *sql.Tx) error {
		if err := add(t.Context(), "small")(tx); err != nil {
			return err
		}
		return add(t.Context(), strings.Repeat("x", 1<<20))(tx)
	})
	if err == nil || fault.From(err).Kind != fault.Unavailable || !strings.Contains(err.Error(), "full") {
		t.Fatalf("InTx = %v, want a full database inside a fault of kind Unavailable", err)
	}
	if got := parents(t, db); got != "first" {
		t.Errorf("half a transaction was kept: %s", got)
	}
	limit(1 << 30)
	if err := db.InTx(t.Context(), add(t.Context(), "x")); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// Writers queue for the one connection; none fails because the file is locked, and readers see whole transactions only.
func TestManyWritersAndReaders(t *testing.T) { sqldbtest.Each(t, testManyWritersAndReaders) }

func testManyWritersAndReaders(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, migrations)
	var all sync.WaitGroup
	const writers, each = 16, 25
	for w := range writers {
		all.Go(func() {
			for i := range each {
				err := db.InTx(t.Context(), func(tx *sql.Tx) error {
					for _, half := range []string{"a", "b"} {
						if err := add(t.Context(), fmt.Sprint(w, "-", i, half))(tx); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
				var count int
				if err := db.Read().QueryRowContext(t.Context(), "SELECT count(*) FROM parents").Scan(&count); err != nil || count%2 != 1 {
					t.Errorf("reader sees %d rows, %v", count, err)
				}
			}
		})
	}
	all.Wait()
	if got := strings.Count(parents(t, db), ",") + 1; got != 1+2*writers*each {
		t.Errorf("%d rows, want %d", got, 1+2*writers*each)
	}
}

// Another process may write to the same file, the migrate command for one: a transaction that reads before it writes
// must wait for its turn at the start, since in the middle it could only fail.
func TestTwoProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	processes := []*sqldb.DB{reopen(t, path), reopen(t, path)}
	if err := processes[0].Migrate(t.Context(), migrations); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	const each = 50
	for p, db := range processes {
		all.Go(func() {
			for range each {
				err := db.InTx(t.Context(), func(tx *sql.Tx) error {
					var n int
					if err := tx.QueryRowContext(t.Context(), "SELECT count(*) FROM parents").Scan(&n); err != nil {
						return err
					}
					return add(t.Context(), fmt.Sprint("number ", n))(tx)
				})
				if err != nil {
					t.Errorf("process %d: %v", p, err)
				}
			}
		})
	}
	all.Wait()
	if got := strings.Count(parents(t, processes[0]), ","); got != 2*each {
		t.Errorf("%d rows were added, want %d", got, 2*each)
	}
}

// A transaction may take longer than SQLite waits for a lock: within a process, the others wait for the one writer.
func TestWritersOutwaitTheBusyTimeout(t *testing.T) {
	t.Parallel()
	db := open(t)
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- db.InTx(t.Context(), func(tx *sql.Tx) error {
			close(begun)
			time.Sleep(5500 * time.Millisecond)
			return add(t.Context(), "slow")(tx)
		})
	}()
	<-begun
	if err := db.InTx(t.Context(), add(t.Context(), "waiting")); err != nil {
		t.Errorf("a writer did not wait: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// $n means the nth argument, in whatever order and however often: SQL that we share with PostgreSQL relies on it.
func TestPlaceholdersAreNumbered(t *testing.T) {
	var got string
	err := open(t).Read().QueryRowContext(t.Context(), "SELECT $3 || $1 || $2 || $1 || $10", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j").Scan(&got)
	if err != nil || got != "cabaj" {
		t.Errorf("%q, %v, want cabaj", got, err)
	}
}

func TestOpenRefusesOtherURLs(t *testing.T) {
	for _, url := range []string{"", "sqlite:", "test.db", "mysql://user:hunter2@host/db", "hunter2"} {
		_, err := sqldb.Open(t.Context(), url)
		if err == nil || !strings.Contains(err.Error(), "DATABASE_URL") {
			t.Errorf("%q: %v, want an error that names DATABASE_URL", url, err)
		}
		if err != nil && strings.Contains(url, "@") && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}

func TestOpenMakesFoldersAndTakesAnyPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b", "ação?x=1&_pragma=x#y%20z", "test.db")
	db := reopen(t, path)
	if err := db.Migrate(t.Context(), migrations); err != nil {
		t.Fatal(err)
	}
	if err := db.Ready(t.Context()); err != nil {
		t.Errorf("Ready = %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file is not where it should be: %v", err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is open to others: %v %v", info.Mode(), err)
	}
}

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqldb.Open(t.Context(), "sqlite:"+path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Open = %v, want an error that names the file", err)
	}
	if _, err := sqldb.Open(t.Context(), "sqlite:"+filepath.Join(path, "below", "test.db")); err == nil {
		t.Error("a folder below a file was opened")
	}
}

func TestReadyFailsWhenClosed(t *testing.T) {
	db, err := sqldb.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Ready(t.Context()); err == nil {
		t.Error("a closed database is ready")
	}
	if err := db.InTx(t.Context(), func(*sql.Tx) error { return nil }); fault.From(err).Kind != fault.Unavailable {
		t.Errorf("InTx on a closed database = %v", err)
	}
}

func TestMigrateTwiceAndTogether(t *testing.T) { sqldbtest.Each(t, testMigrateTwiceAndTogether) }

func testMigrateTwiceAndTogether(t *testing.T, engine sqldbtest.Engine) {
	db := sqldbtest.Reopen(t, engine.URL(t))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := db.Migrate(t.Context(), migrations); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := db.Migrate(t.Context(), migrations); err != nil {
		t.Error(err)
	}
	if got := parents(t, db); got != "first" {
		t.Errorf("parents: %s", got)
	}
}

// A process that must not migrate begins once another process has migrated, to its version or a newer one. It writes nothing.
func TestAwaitMigrations(t *testing.T) { sqldbtest.Each(t, testAwaitMigrations) }

func testAwaitMigrations(t *testing.T, engine sqldbtest.Engine) {
	url := engine.URL(t)
	migrating, waiting := sqldbtest.Reopen(t, url), sqldbtest.Reopen(t, url)
	older := fstest.MapFS{}
	for name, file := range migrations {
		if strings.Contains(name, "00001") {
			older[name] = file
		}
	}
	prepare := func(ctx context.Context) error {
		return waiting.Prepare(ctx, sqldb.Config{MigrateOnStart: false}, migrations)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := prepare(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before anybody has migrated: %v, want the end of the context", err)
	}
	var count int
	if err := migrating.Read().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM goose_db_version").Scan(&count); err == nil {
		t.Error("whoever waits has made a table")
	}
	if err := migrating.Migrate(t.Context(), older); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- prepare(t.Context()) }()
	select {
	case err := <-done:
		t.Fatalf("began on the schema of an older version: %v", err)
	case <-time.After(1500 * time.Millisecond):
	}
	if err := migrating.Prepare(t.Context(), sqldb.Config{MigrateOnStart: true}, migrations); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := waiting.AwaitMigrations(t.Context(), older); err != nil {
		t.Errorf("on a newer schema: %v", err)
	}
}

// A migration that fails changes nothing, and what came before it stays.
func TestBrokenMigration(t *testing.T) { sqldbtest.Each(t, testBrokenMigration) }

func testBrokenMigration(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, migrations)
	broken := fstest.MapFS{engine.Name + "/00003_broken.sql": {Data: []byte("-- +goose Up\nINSERT INTO parents (id) VALUES ('half');\nINSERT INTO nowhere VALUES (1);\n")}}
	for name, file := range migrations {
		broken[name] = file
	}
	if err := db.Migrate(t.Context(), broken); err == nil || !strings.Contains(err.Error(), "version:3") {
		t.Errorf("Migrate = %v, want an error that names the version", err)
	}
	if got := parents(t, db); got != "first" {
		t.Errorf("parents: %s", got)
	}
	var none fs.FS = fstest.MapFS{}
	if err := db.Migrate(t.Context(), none); err == nil {
		t.Error("no migrations at all is no error")
	}
}

func TestAway(t *testing.T) {
	if err := sqldb.Away(nil); err != nil {
		t.Errorf("Away(nil) = %v", err)
	}
	wrapped := fmt.Errorf("row: %w", fault.ErrKeyReused)
	if err := sqldb.Away(wrapped); !errors.Is(err, wrapped) {
		t.Errorf("a fault becomes %v", err)
	}
	if err := sqldb.Away(sql.ErrConnDone); !errors.Is(err, sql.ErrConnDone) || fault.From(err).Kind != fault.Unavailable {
		t.Errorf("another error becomes %v", err)
	}
}

// Cause returns what Away has marked. An error that has no cause stays as it is.
func TestCause(t *testing.T) {
	for _, err := range []error{nil, sql.ErrConnDone, fault.ErrKeyReused} {
		for _, given := range []error{err, sqldb.Away(err)} {
			if got := sqldb.Cause(given); got != err { //nolint:errorlint // the very value
				t.Errorf("Cause(%v) = %v, want %v", given, got, err)
			}
		}
	}
}

func TestTimesKeepMicroseconds(t *testing.T) {
	now := time.Date(2026, 2, 3, 4, 5, 6, 789_012_345, time.FixedZone("", 3600))
	if got, want := sqldb.Time(sqldb.Micros(now)), now.Truncate(time.Microsecond).UTC(); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestLists(t *testing.T) {
	for got, want := range map[string]string{
		sqldb.Args(1, 0): "", sqldb.Args(1, 1): "$1", sqldb.Args(3, 3): "$3,$4,$5",
		sqldb.SQLiteRows(1, 1): "(?)", sqldb.SQLiteRows(2, 3): "(?,?,?),(?,?,?)", sqldb.SQLiteRows(0, 3): "",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A database that was opened for reading only shows what was committed, also while others write, and refuses every write.
func TestOpenReadOnly(t *testing.T) { sqldbtest.Each(t, testOpenReadOnly) }

func testOpenReadOnly(t *testing.T, engine sqldbtest.Engine) {
	url := engine.URL(t)
	db := sqldbtest.Reopen(t, url)
	if err := db.Migrate(t.Context(), migrations); err != nil {
		t.Fatal(err)
	}
	looking := sqldbtest.Look(t, url)
	if err := db.InTx(t.Context(), add(t.Context(), "meanwhile")); err != nil {
		t.Fatal(err)
	}
	if got := parents(t, looking); got != "first,meanwhile" {
		t.Errorf("parents: %s", got)
	}
	if err := looking.InTx(t.Context(), add(t.Context(), "forbidden")); err == nil {
		t.Error("it writes")
	}
	if _, err := looking.Read().ExecContext(t.Context(), "DELETE FROM parents"); err == nil {
		t.Error("it deletes")
	}
	if got := parents(t, db); got != "first,meanwhile" {
		t.Errorf("parents: %s", got)
	}
}

func TestOpenReadOnlyCreatesNothing(t *testing.T) { createsNothing(t, sqldb.OpenReadOnly) }

// A database that is there can be written to. One that is not is not created.
func TestOpenExisting(t *testing.T) {
	createsNothing(t, sqldb.OpenExisting)
	sqldbtest.Each(t, func(t *testing.T, engine sqldbtest.Engine) {
		url := engine.URL(t)
		if err := sqldbtest.Reopen(t, url).Migrate(t.Context(), migrations); err != nil {
			t.Fatal(err)
		}
		db, err := sqldb.OpenExisting(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.InTx(t.Context(), add(t.Context(), "written")); err != nil || parents(t, db) != "first,written" {
			t.Errorf("%v, parents: %s", err, parents(t, db))
		}
	})
}

func createsNothing(t *testing.T, open sqldb.Opener) {
	t.Helper()
	dir := t.TempDir()
	for _, path := range []string{"mistyped.db", "no/such/folder.db"} {
		if db, err := open(t.Context(), "sqlite:"+filepath.Join(dir, path)); err == nil {
			t.Errorf("%s: opened", path)
			_ = db.Close()
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// A database that nobody has open, as after a stop, can be looked at.
func TestOpenReadOnlyAfterAStop(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "test.db")
	db, err := sqldb.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Migrate(t.Context(), migrations), db.Close()); err != nil {
		t.Fatal(err)
	}
	if got := parents(t, sqldbtest.Look(t, url)); got != "first" {
		t.Errorf("parents: %s", got)
	}
}

func TestVerify(t *testing.T) { sqldbtest.Each(t, testVerify) }

func testVerify(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, migrations)
	for _, id := range []string{"a", "b"} {
		if err := db.InTx(t.Context(), add(t.Context(), id)); err != nil {
			t.Fatal(err)
		}
	}
	named := func(ids ...any) sqldb.Invariant {
		return sqldb.Invariant{
			Name: "nobody is named so", Args: ids,
			Query: "SELECT 'parent ' || id FROM parents WHERE id IN (" + sqldb.Args(1, len(ids)) + ") ORDER BY id",
		}
	}
	warning := func(ids ...any) sqldb.Invariant {
		w := named(ids...)
		w.Warning = true
		return w
	}
	both := sqldb.Invariant{
		Name: "nobody is called a", Also: []string{"nobody is called b"},
		Query: "SELECT CASE id WHEN 'a' THEN 'parent ' || id END, CASE id WHEN 'b' THEN 'parent ' || id END FROM parents WHERE id IN ('a', 'b') ORDER BY id",
	}
	for _, test := range []struct {
		name       string
		invariants []sqldb.Invariant
		want       error
		out        string
	}{
		{"none", nil, nil, "0 invariants checked, 0 violations\n"},
		{"kept", []sqldb.Invariant{named("x"), named("y")}, nil, "2 invariants checked, 0 violations\n"},
		{
			"violated", []sqldb.Invariant{named("x"), named("a", "b"), named("first")}, verify.ErrViolated,
			"VIOLATION nobody is named so: parent a\nVIOLATION nobody is named so: parent b\n" +
				"VIOLATION nobody is named so: parent first\n3 invariants checked, 3 violations\n",
		},
		{
			"violated in one pass", []sqldb.Invariant{both}, verify.ErrViolated,
			"VIOLATION nobody is called a: parent a\nVIOLATION nobody is called b: parent b\n2 invariants checked, 2 violations\n",
		},
		{
			"warned of", []sqldb.Invariant{named("x"), warning("a", "b")}, nil,
			"WARNING nobody is named so: parent a\nWARNING nobody is named so: parent b\n1 invariants checked, 0 violations, 2 warnings\n",
		},
	} {
		var out bytes.Buffer
		err := db.Verify(t.Context(), &out, test.invariants)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if diff := cmp.Diff(test.out, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// A query that cannot run is neither kept nor violated: it must not pass for either.
func TestVerifyFails(t *testing.T) {
	db := open(t)
	for name, query := range map[string]string{
		"no such table": "SELECT x FROM nowhere",
		"two columns":   "SELECT id, id FROM parents",
		"a null":        "SELECT NULL",
		"fails halfway": "SELECT json(column1) FROM (VALUES ('1'), ('{'))",
		"a write":       "DELETE FROM parents RETURNING id",
	} {
		err := db.Verify(t.Context(), new(bytes.Buffer), []sqldb.Invariant{{Name: "broken rule", Query: query}})
		if err == nil || errors.Is(err, verify.ErrViolated) || !strings.Contains(err.Error(), "broken rule") {
			t.Errorf("%s: %v, want an error that names the invariant", name, err)
		}
		if f := new(fault.Error); errors.As(err, &f) {
			t.Errorf("%s: %v, want no words for customers", name, err)
		}
	}
	if got := parents(t, db); got != "first" {
		t.Errorf("Verify has changed the data: %s", got)
	}
}

// All queries see the same moment, or money on its way between two of them would look lost.
func TestVerifySeesOneMoment(t *testing.T) { sqldbtest.Each(t, testVerifySeesOneMoment) }

func testVerifySeesOneMoment(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, migrations)
	count := sqldb.Invariant{Name: "count", Query: "SELECT CAST(count(*) AS TEXT) FROM parents"}
	out := &firstWriteHook{hook: func() { // between the two queries
		if err := db.InTx(t.Context(), add(t.Context(), "meanwhile")); err != nil {
			t.Error(err)
		}
	}}
	if err := db.Verify(t.Context(), out, []sqldb.Invariant{count, count}); !errors.Is(err, verify.ErrViolated) {
		t.Fatal(err)
	}
	if want := "VIOLATION count: 1\nVIOLATION count: 1\n"; !strings.HasPrefix(out.String(), want) {
		t.Errorf("got:\n%s\nwant:\n%s", out, want)
	}
	if got := parents(t, db); got != "first,meanwhile" {
		t.Errorf("parents: %s", got)
	}
}

// firstWriteHook is a buffer that calls hook once, before its first write.
type firstWriteHook struct {
	bytes.Buffer
	hook func()
}

func (w *firstWriteHook) Write(p []byte) (int, error) {
	if w.hook != nil {
		w.hook()
		w.hook = nil
	}
	return w.Buffer.Write(p)
}
