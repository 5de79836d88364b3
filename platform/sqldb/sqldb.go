// Package sqldb opens a service's database, runs transactions and migrations. DATABASE_URL chooses the engine.
package sqldb

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"

	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/crashpoint"
	"github.com/bankmore/bankmore/platform/dependency"
)

// Config locates the database.
type Config struct {
	URL            string `env:"DATABASE_URL,required"`
	MigrateOnStart bool   `env:"MIGRATE_ON_START" envDefault:"true"`
}

// Engine names a kind of database, as its folders are named.
type Engine string

// The engines.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
)

// DB is a service's database, behind one of the engines. What all engines accept ($1, TEXT ids, BIGINT times and cents, ON
// CONFLICT, RETURNING) is written once. Where an engine has its own way, a service's store has a folder for it, which the
// store chooses by Engine when it is made.
type DB struct {
	engine      engine
	read, write *sql.DB
	pool        *pgxpool.Pool // PostgreSQL only

	later map[string]string // PostgreSQL's settings, if a pooler takes them only once a session has begun
	clock func() time.Time  // the database's, if a test has set it
}

// engine is what each engine does in its own way: postgres.go and postgres_errors.go, sqlite.go and sqlite_errors.go.
type engine struct {
	name     Engine // also the subfolder of its migrations
	dialect  goose.Dialect
	now      func() string             // see DB.Now
	among    func(query string) string // see DB.Among
	snapshot sql.TxOptions             // of a transaction whose queries all see the same moment
	// migrator returns the pool through which migrations run, and how. done ends their use.
	migrator func(db *DB) (target *sql.DB, options []goose.ProviderOption, done func() error, err error)

	rolledBack   func(err error) bool // nothing has happened, and the next attempt may succeed
	disconnected func(err error) bool // the server ends the connection, or it has sent nothing yet
	// extent returns how many inputs of a transaction share the reason of err. It is not ok if the reason is none of theirs.
	extent func(err error) (extent batch.Extent, ok bool)
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

// OpenExisting is Open for a database that exists: it creates none.
func OpenExisting(ctx context.Context, rawURL string) (*DB, error) {
	looking, err := OpenReadOnly(ctx, rawURL)
	if err != nil {
		return nil, err
	}
	if err := looking.Close(); err != nil {
		return nil, err
	}
	return Open(ctx, rawURL)
}

// Opener is Open, OpenExisting or OpenReadOnly.
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

// Engine returns which engine the database has.
func (db *DB) Engine() Engine { return db.engine.name }

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
func (db *DB) Read() Reader { return Reader{db.read} }

// Reader is a pool that measures its queries until the first row.
type Reader struct{ *sql.DB }

// QueryContext is that of sql.DB.
func (r Reader) QueryContext(ctx context.Context, query string, args ...any) (rows *sql.Rows, err error) {
	start := time.Now()
	defer func() { dependency.Observe(dependency.SQL, "query", start, err) }()
	return r.DB.QueryContext(ctx, query, args...) //nolint:sqlclosecheck // the caller closes them
}

// QueryRowContext is that of sql.DB.
func (r Reader) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	start := time.Now()
	row := r.DB.QueryRowContext(ctx, query, args...)
	dependency.Observe(dependency.SQL, "query", start, row.Err())
	return row
}

// InTx runs fn in a write transaction: committed when fn returns nil, else rolled back. A fault that fn returns comes
// back as it is; any other error is infrastructure and comes back as a fault of kind Unavailable. If it is the commit
// that failed, the effect is unknown: the request's key decides which it was.
//
// fn runs again, in a new transaction, if the first was rolled back for no fault of its own (a deadlock, a lost
// connection): whatever it leaves outside of the database it must set anew.
func (db *DB) InTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	return db.retry(ctx, func() (before, commit error) {
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

// Prepare brings the schema to the newest version in migrations before a service begins. It migrates or, if config says that another
// process does, waits for that.
func (db *DB) Prepare(ctx context.Context, config Config, migrations fs.FS) error {
	if config.MigrateOnStart {
		return db.Migrate(ctx, migrations)
	}
	return db.AwaitMigrations(ctx, migrations)
}

// Embedded returns the folder migrations of what a service has embedded, for Migrate.
func Embedded(files embed.FS) fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // the name is a valid one
	}
	return sub
}

// Migrate brings the schema to the newest version in migrations: goose SQL files, in a subfolder per engine (sqlite,
// postgres). On PostgreSQL it waits while another replica migrates.
func (db *DB) Migrate(ctx context.Context, migrations fs.FS) (err error) {
	target, options, done, err := db.engine.migrator(db)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	defer func() { err = errors.Join(err, done()) }()
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
	files, err := fs.Sub(migrations, string(db.engine.name))
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	provider, err := goose.NewProvider(db.engine.dialect, target, files, append(options, goose.WithDisableGlobalRegistry(true))...)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	return provider, nil
}

// NullText is the value of a column for a text that may be missing: NULL for "".
func NullText(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// Args is a comma-separated list of count placeholders that starts at $first.
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
