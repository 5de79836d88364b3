package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/XSAM/otelsql"
	"github.com/exaring/otelpgx"
	"github.com/pressly/goose/v3"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	_ "modernc.org/sqlite" // the pure Go driver "sqlite"

	"github.com/bankmore/bankmore/platform/telemetry"
)

var sqlite = engine{
	name:     SQLite,
	dialect:  goose.DialectSQLite3,
	now:      func() string { return literal(time.Now()) }, // one process has the database, so its clock is the database's
	among:    func(query string) string { return "IN (" + query + ")" },
	snapshot: sql.TxOptions{ReadOnly: true},
	migrator: sqliteMigrator,

	rolledBack:   func(error) bool { return false }, // a writer waits for the others in Go, and meets no conflict
	disconnected: func(error) bool { return false }, // there is no connection
	extent:       sqliteExtent,
}

func sqliteMigrator(db *DB) (target *sql.DB, options []goose.ProviderOption, done func() error, err error) {
	return db.write, nil, func() error { return nil }, nil
}

// Settings of a service's connections only. A read-only connection may sort a whole database, which must not be in memory.
const (
	wal      = "_pragma=journal_mode(WAL)"
	inMemory = "_pragma=temp_store(MEMORY)"
)

// openSQLite opens the file at path. SQLite has one writer, so writes have a pool of their own with a single
// connection: they queue in Go, instead of polling for the file lock.
func openSQLite(ctx context.Context, path string) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	// SQLite itself would create a file that everybody may read. Its journal files take the mode of the file.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	write, err := sqlitePool(sqliteDSN(path, wal, inMemory, "_txlock=immediate"))
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	read, err := sqlitePool(sqliteDSN(path, wal, inMemory, "_pragma=query_only(1)"))
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	read.SetMaxOpenConns(8)
	read.SetMaxIdleConns(8)
	db := &DB{engine: sqlite, read: read, write: write}
	// The writer goes first: it creates the file and puts it in WAL mode.
	if err := errors.Join(write.PingContext(ctx), read.PingContext(ctx)); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), db.Close())
	}
	return db, nil
}

// sqlitePool opens a pool. A statement of a recorded trace has a span, with its text and without its arguments.
func sqlitePool(dsn string) (*sql.DB, error) {
	if !telemetry.Tracing() {
		return sql.Open("sqlite", dsn)
	}
	return otelsql.Open("sqlite", dsn, otelsql.WithAttributes(semconv.DBSystemNameSQLite),
		otelsql.WithSpanNameFormatter(func(ctx context.Context, method otelsql.Method, query string) string {
			if query == "" {
				return string(method)
			}
			return otelpgx.SQLOperationName(ctx, query) // the same names as on PostgreSQL
		}),
		otelsql.WithSpanOptions(otelsql.SpanOptions{
			OmitConnResetSession: true, OmitConnPrepare: true, OmitRows: true, OmitConnectorConnect: true,
			SpanFilter: func(ctx context.Context, _ otelsql.Method, _ string, _ []driver.NamedValue) bool {
				return telemetry.Recorded(ctx)
			},
		}))
}

// openSQLiteReadOnly opens the file at path, which must be there.
func openSQLiteReadOnly(ctx context.Context, path string) (*DB, error) {
	read, err := sql.Open("sqlite", sqliteDSN(path, "mode=ro"))
	if err != nil {
		return nil, err
	}
	db := &DB{engine: sqlite, read: read, write: read}
	if err := read.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), db.Close())
	}
	return db, nil
}

// cacheKiB bounds the page cache of each connection. A service has nine connections. Further pages are in the system's cache.
const cacheKiB = "4096"

// sqliteDSN tunes every connection. synchronous=FULL is what makes an acknowledged commit survive a power cut in WAL
// mode (https://www.sqlite.org/pragma.html#pragma_synchronous).
func sqliteDSN(path string, more ...string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + strings.Join(append([]string{
		"_pragma=busy_timeout(5000)",
		"_pragma=synchronous(FULL)",
		"_pragma=foreign_keys(1)",
		"_pragma=cache_size(-" + cacheKiB + ")",
	}, more...), "&")
}

// SQLiteMaxRows bounds the rows of a statement with up to 32 values in each: SQLite takes at most 32,766 placeholders.
const SQLiteMaxRows = 1000

// SQLiteRows is a VALUES list for SQLite: rows tuples of width placeholders each.
//
// The placeholders have no numbers. SQLite takes $1, $2 and so on for names, and looks for each one in a list of all names,
// once when it parses the statement and once when the driver binds the values. So with numbers, the cost of a statement grows
// with the square of its placeholders.
func SQLiteRows(rows, width int) string {
	tuple := "(" + strings.TrimSuffix(strings.Repeat("?,", width), ",") + "),"
	return strings.TrimSuffix(strings.Repeat(tuple, rows), ",")
}
