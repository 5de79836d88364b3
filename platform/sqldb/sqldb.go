// Package sqldb opens a service's database, runs transactions and migrations. DATABASE_URL chooses the engine.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"

	"github.com/bankmore/bankmore/platform/crashpoint"
)

// Config locates the database.
type Config struct {
	URL            string `env:"DATABASE_URL,required"`
	MigrateOnStart bool   `env:"MIGRATE_ON_START" envDefault:"true"`
}

// DB is a service's database, behind one of two engines. What both accept ($1, TEXT ids, BIGINT times and cents, ON
// CONFLICT, RETURNING) is written once; where PostgreSQL deserves its own form, Pipelined gives it.
type DB struct {
	engine      engine
	read, write *sql.DB
	pool        *pgxpool.Pool // PostgreSQL only

	later map[string]string // PostgreSQL's settings, if a pooler takes them only once a session has begun
}

// engine is what differs between the two beyond their SQL.
type engine struct {
	dialect    goose.Dialect
	migrations string // subfolder
	skipLocked string
	snapshot   sql.TxOptions // of a transaction whose queries all see the same moment
}

// Open connects to the database that rawURL names: sqlite:<path>, relative to the working directory, or postgres://…
// as libpq understands it, plus pgxpool's settings (pool_max_conns and others).
func Open(ctx context.Context, rawURL string) (*DB, error) {
	return open(ctx, rawURL, openSQLite, openPostgres)
}

// OpenReadOnly is Open for looking at all of a database that exists: nothing is created, every write is refused, and a
// query may take as long as it needs.
func OpenReadOnly(ctx context.Context, rawURL string) (*DB, error) {
	return open(ctx, rawURL, openSQLiteReadOnly, openPostgresReadOnly)
}

// Opener is Open or OpenReadOnly.
type Opener func(ctx context.Context, location string) (*DB, error)

func open(ctx context.Context, rawURL string, sqlite, postgres Opener) (*DB, error) {
	scheme, rest, _ := strings.Cut(rawURL, ":")
	switch {
	case scheme == "sqlite" && rest != "":
		return sqlite(ctx, rest)
	case scheme == "postgres" || scheme == "postgresql":
		return postgres(ctx, rawURL)
	default: // the rest may hold a password
		return nil, fmt.Errorf("DATABASE_URL: want sqlite:<path> or postgres://…, got scheme %q", scheme)
	}
}

// Close closes every connection.
func (db *DB) Close() error {
	err := errors.Join(db.write.Close(), db.read.Close())
	if db.pool != nil {
		db.pool.Close()
	}
	return err
}

// Ready returns an error unless the database answers.
func (db *DB) Ready(ctx context.Context) error { return db.read.PingContext(ctx) }

// Read is the pool for queries outside of a transaction. SQLite refuses to write through it.
func (db *DB) Read() *sql.DB { return db.read }

// SkipLocked ends a query for rows to be claimed: rows that another transaction is claiming are passed over, where
// there can be another.
func (db *DB) SkipLocked() string { return db.engine.skipLocked }

// InTx runs fn in a write transaction: committed when fn returns nil, else rolled back. A fault that fn returns comes
// back as it is; any other error is infrastructure and comes back as a fault of kind Unavailable. If it is the commit
// that failed, the effect is unknown: the request's key decides which it was.
//
// fn runs again, in a new transaction, if the first was rolled back for no fault of its own (a deadlock, a lost
// connection): whatever it leaves outside of the database it must set anew.
func (db *DB) InTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	return db.again(ctx, func() (before, commit error) {
		tx, err := db.write.BeginTx(ctx, nil)
		if err != nil {
			return err, nil
		}
		defer tx.Rollback() //nolint:errcheck // does nothing after a commit; if fn panics it frees the only writer
		if err := fn(tx); err != nil {
			return err, nil
		}
		crashpoint.Reach("commit", "before")
		err = tx.Commit()
		crashpoint.Reach("commit", "after")
		return nil, err
	})
}

// Exec runs one statement in a transaction of its own, and returns how many rows it changed. It fails as InTx does.
func (db *DB) Exec(ctx context.Context, statement string, args ...any) (changed int, err error) {
	err = db.InTx(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		changed = int(n)
		return err
	})
	if err != nil {
		return 0, err
	}
	return changed, nil
}

// Prepare has the schema at the newest version in migrations before a service begins: it migrates, or, if config says that
// somebody else does, waits for it.
func (db *DB) Prepare(ctx context.Context, config Config, migrations fs.FS) error {
	if config.MigrateOnStart {
		return db.Migrate(ctx, migrations)
	}
	return db.AwaitMigrations(ctx, migrations)
}

// Migrate brings the schema to the newest version in migrations: goose SQL files, in a subfolder per engine (sqlite,
// postgres). On PostgreSQL it waits while another replica migrates.
func (db *DB) Migrate(ctx context.Context, migrations fs.FS) (err error) {
	target, options := db.write, []goose.ProviderOption(nil)
	if db.pool != nil {
		locker, lockErr := migrationLock()
		if lockErr != nil {
			return fmt.Errorf("migrations: %w", lockErr)
		}
		target, options = db.patient(), append(options, goose.WithSessionLocker(locker))
		defer func() { err = errors.Join(err, target.Close()) }()
	}
	provider, err := db.provider(target, migrations, options...)
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	return nil
}

// awaitInterval is how often AwaitMigrations looks.
const awaitInterval = time.Second

// AwaitMigrations returns nil once the schema has the newest version in migrations or a newer one, or an error when ctx
// ends. It changes nothing and needs no right to: another process migrates. A newer version is welcome, so that a service
// can be rolled back without its schema.
func (db *DB) AwaitMigrations(ctx context.Context, migrations fs.FS) error {
	provider, err := db.provider(db.read, migrations)
	if err != nil {
		return err
	}
	sources := provider.ListSources()
	want := sources[len(sources)-1].Version
	for told := int64(-1); ; {
		has, err := db.version(ctx)
		if err == nil && has >= want {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for migrations: %w", ctx.Err())
		}
		if has != told { // once, and again with each step of whoever migrates
			slog.WarnContext(ctx, "waiting for migrations", "schema_version", has, "wanted", want, "error", err)
			told = has
		}
		select {
		case <-ctx.Done():
		case <-time.After(awaitInterval):
		}
	}
}

// version is the schema's. It is 0, with an error, if that cannot be told: nobody has migrated yet, or the database is
// away.
func (db *DB) version(ctx context.Context) (version int64, err error) {
	err = db.read.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM "+goose.DefaultTablename).Scan(&version)
	return version, err
}

func (db *DB) provider(target *sql.DB, migrations fs.FS, options ...goose.ProviderOption) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, db.engine.migrations)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	provider, err := goose.NewProvider(db.engine.dialect, target, files, append(options, goose.WithDisableGlobalRegistry(true))...)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	return provider, nil
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
//
// On SQLite, callers divide a long list into several statements. SQLite takes $1, $2 and so on for names. It searches a list
// of all names for each one when it parses the statement, and the driver does so again when it binds the values. So the
// cost of a statement grows with the square of its placeholders. Measured: 250 rows of six values take 9 ms in one INSERT,
// and 3 ms in portions of 50; BenchmarkCommit/256 of transfer-svc takes 150 ms in one statement per table, and 50 ms in
// portions of 32 rows.
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
