// Package sqldb opens a service's database, runs transactions and migrations. DATABASE_URL chooses the engine.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the pure Go driver "sqlite"

	"github.com/bankmore/bankmore/platform/fault"
)

// Config locates the database.
type Config struct {
	URL            string `env:"DATABASE_URL,required"`
	MigrateOnStart bool   `env:"MIGRATE_ON_START" envDefault:"true"`
}

// DB is a service's database. SQLite has one writer, so writes have a pool of their own with a single connection:
// they queue in Go, instead of polling for the file lock.
type DB struct {
	read, write *sql.DB
}

// Open connects to the database that rawURL names: sqlite:<path>, relative to the working directory.
func Open(ctx context.Context, rawURL string) (*DB, error) {
	path, ok := strings.CutPrefix(rawURL, "sqlite:")
	if !ok || path == "" {
		scheme, _, _ := strings.Cut(rawURL, ":") // the rest may hold a password
		return nil, fmt.Errorf("DATABASE_URL: want sqlite:<path>, got scheme %q", scheme)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	// SQLite would let everybody read the file; its journal files take the same mode.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	write, err := sql.Open("sqlite", sqliteDSN(path, "_txlock=immediate"))
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", sqliteDSN(path, "_pragma=query_only(1)"))
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	read.SetMaxOpenConns(8)
	read.SetMaxIdleConns(8)
	db := &DB{read: read, write: write}
	// The writer goes first: it creates the file and puts it in WAL mode.
	if err := errors.Join(write.PingContext(ctx), read.PingContext(ctx)); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), db.Close())
	}
	return db, nil
}

// sqliteDSN tunes every connection. synchronous=FULL is what makes an acknowledged commit survive a power cut in WAL
// mode (https://www.sqlite.org/pragma.html#pragma_synchronous).
func sqliteDSN(path, extra string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + strings.Join([]string{
		"_pragma=busy_timeout(5000)",
		"_pragma=journal_mode(WAL)",
		"_pragma=synchronous(FULL)",
		"_pragma=foreign_keys(1)",
		"_pragma=cache_size(-32768)",
		"_pragma=temp_store(MEMORY)",
		extra,
	}, "&")
}

// Close closes every connection.
func (db *DB) Close() error { return errors.Join(db.write.Close(), db.read.Close()) }

// Ready returns an error unless the database answers.
func (db *DB) Ready(ctx context.Context) error { return db.read.PingContext(ctx) }

// Read is the pool for queries outside of a transaction. Writing through it fails.
func (db *DB) Read() *sql.DB { return db.read }

// InTx runs fn in a write transaction: committed when fn returns nil, else rolled back. A fault that fn returns comes
// back as it is; any other error is infrastructure and comes back as a fault of kind Unavailable. If it is the commit
// that failed, the effect is unknown: the request's key decides which it was.
func (db *DB) InTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return Away(err)
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after a commit; if fn panics it frees the only writer
	if err := fn(tx); err != nil {
		return Away(err)
	}
	return Away(tx.Commit())
}

// Away marks err as a failure of the database (kind Unavailable), unless it is a fault already or nil.
func Away(err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	return fault.Away(err)
}

// Migrate brings the schema to the newest version in migrations (goose SQL files at the root of the file system).
func (db *DB) Migrate(ctx context.Context, migrations fs.FS) error {
	provider, err := goose.NewProvider(goose.DialectSQLite3, db.write, migrations, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	return nil
}

// Micros is t in microseconds since 1970, as the databases store times.
func Micros(t time.Time) int64 { return t.UnixMicro() }

// Time is the inverse of Micros, in UTC.
func Time(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// Args is a comma-separated list of count placeholders that starts at $first, and grows with every list of rows.
func Args(first, count int) string {
	var b strings.Builder
	for i := range count {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "$%d", first+i)
	}
	return b.String()
}

// Rows is a VALUES list: rows tuples of width placeholders each.
func Rows(rows, width int) string {
	var b strings.Builder
	for i := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("(" + Args(1+i*width, width) + ")")
	}
	return b.String()
}
