package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/crashpoint"
	"github.com/bankmore/bankmore/platform/telemetry"
)

var postgres = engine{
	name:     Postgres,
	dialect:  goose.DialectPostgres,
	now:      func() string { return "(extract(epoch FROM now()) * 1000000)::bigint" },
	among:    func(query string) string { return "= ANY (ARRAY(" + query + "))" },
	snapshot: sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead},
	migrator: postgresMigrator,

	rolledBack:   postgresRolledBack,
	disconnected: postgresDisconnected,
	extent:       postgresExtent,
}

// limits are the settings of every connection, unless the URL sets others. A statement ends before its batch does (10 s). A
// statement that waits long for a lock gives up. The server ends a transaction that a hung replica has left open.
//
// A service's statements find their rows by an index, however few rows a table has: PostgreSQL plans a prepared statement when
// the tables are small and keeps the plan while they grow (docs/adr/0039). Without sequential scans, and without merge joins,
// which read a whole index in its order, the plan fits both. jit goes with that: PostgreSQL 17 and older add 10,000,000,000 to the
// cost of a scan that they are not to use, and compile a statement because of its cost.
var limits = map[string]string{
	"statement_timeout":                   "8s",
	"lock_timeout":                        "3s",
	"idle_in_transaction_session_timeout": "10s",
	"application_name":                    "bankmore",
	"enable_seqscan":                      "off",
	"enable_mergejoin":                    "off",
	"jit":                                 "off",
}

// Settings for reading whole databases. They prefer sorting to hashing: the planner guesses the number of groups badly, and
// a hash table that does not fit in memory is slower than a sort that does not.
var (
	looking = map[string]string{
		"lock_timeout":     "3s",
		"application_name": "bankmore",
		"work_mem":         "64MB",
		"enable_hashagg":   "off",
	}
	onlyLooking = map[string]string{ // whatever the URL says
		"default_transaction_read_only":       "on",
		"statement_timeout":                   "0",
		"idle_in_transaction_session_timeout": "0",
	}
)

// scanning are the settings of connections that read whole tables. They hold whatever the URL, the role or the database sets: an
// operator may have set the services' values there.
var scanning = map[string]string{
	"enable_seqscan":   "on",
	"enable_mergejoin": "on",
}

// patiently are the settings of migrations, besides scanning, whatever the URL says.
var patiently = map[string]string{
	"statement_timeout":                   "0",
	"idle_in_transaction_session_timeout": "0",
}

const (
	maxConns       = 16                     // per process, unless the URL says pool_max_conns
	connectTimeout = 3 * time.Second        // unless the URL says connect_timeout
	idleUnchecked  = 100 * time.Millisecond // a connection idle for longer is tried before it is used
)

func openPostgres(ctx context.Context, rawURL string) (*DB, error) {
	return connect(ctx, rawURL, limits)
}

func openPostgresReadOnly(ctx context.Context, rawURL string) (*DB, error) {
	return connect(ctx, rawURL, looking, onlyLooking, scanning)
}

// connect opens a pool whose sessions have the settings of defaults, unless the URL sets others, and those of fixed.
func connect(ctx context.Context, rawURL string, defaults map[string]string, fixed ...map[string]string) (*DB, error) {
	config, err := pgxpool.ParseConfig(rawURL) // its errors leave the password out
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	given, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("DATABASE_URL: not a URL") // the cause would repeat the password
	}
	for name, value := range defaults {
		if _, ok := config.ConnConfig.RuntimeParams[name]; !ok {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
	for _, settings := range fixed {
		maps.Copy(config.ConnConfig.RuntimeParams, settings)
	}
	if !given.Query().Has("pool_max_conns") {
		config.MaxConns = maxConns
	}
	if !given.Query().Has("connect_timeout") {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	config.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool { return p.IdleDuration > idleUnchecked }
	pooled, err := throughPooler(ctx, config.ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	if telemetry.Tracing() { // a statement of a recorded trace has a span, with its text and without its arguments
		config.ConnConfig.Tracer = otelpgx.NewTracer(otelpgx.WithDisableAcquireTracer(), otelpgx.WithDisableConnectionDetailsInAttributes())
	}
	var later map[string]string
	if pooled { // a pooler takes no settings with the connection
		later = config.ConnConfig.RuntimeParams
		config.ConnConfig.RuntimeParams = map[string]string{}
		config.AfterConnect = set(later)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	shared := stdlib.OpenDBFromPool(pool)
	db := &DB{engine: postgres, read: shared, write: shared, pool: pool, later: later}
	if err := pool.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the database: %w", err), db.Close())
	}
	return db, nil
}

// patient returns a pool for migrations. Their statements have no time limit, since a new index may take long, and may scan
// tables. lock_timeout stays: a statement that waits for a lock on a table holds up all statements behind it.
func (db *DB) patient() *sql.DB {
	config := db.pool.Config().ConnConfig
	settings := config.RuntimeParams
	if db.later != nil {
		settings = maps.Clone(db.later)
	}
	maps.Copy(settings, patiently)
	maps.Copy(settings, scanning)
	if db.later == nil {
		return stdlib.OpenDB(*config)
	}
	return stdlib.OpenDB(*config, stdlib.OptionAfterConnect(set(settings)))
}

// postgresMigrator lets one replica migrate while the others wait, up to 5 minutes.
func postgresMigrator(db *DB) (target *sql.DB, options []goose.ProviderOption, done func() error, err error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 10))
	if err != nil {
		return nil, nil, nil, err
	}
	target = db.patient()
	return target, []goose.ProviderOption{goose.WithSessionLocker(locker)}, target.Close, nil
}

// Pipeline is a transaction on PostgreSQL whose statements travel in batches, one round trip each.
type Pipeline struct {
	conn    *pgx.Conn
	patient bool
	begun   bool
}

// InPipeline is InTx for transactions on PostgreSQL whose statements travel in batches. A transaction with n batches takes n + 1 round
// trips, BEGIN and COMMIT included.
func (db *DB) InPipeline(ctx context.Context, fn func(p *Pipeline) error) error {
	return db.retry(ctx, func() (before, commit error) {
		conn, err := db.pool.Acquire(ctx)
		if err != nil {
			return err, nil
		}
		defer conn.Release() // closes a connection whose transaction has not ended
		p := &Pipeline{conn: conn.Conn(), patient: batch.Patient(ctx)}
		if err := fn(p); err != nil {
			p.rollback(ctx)
			return err, nil
		}
		return nil, p.commit(ctx)
	})
}

// impatient shortens how long a transaction waits for a lock while other calls wait behind it. Other replicas hold a lock
// for far less than 250 ms.
const impatient = "SET LOCAL lock_timeout = '250ms'"

// Batch returns an empty batch for Send.
func (p *Pipeline) Batch() *pgx.Batch {
	first := &pgx.Batch{}
	if !p.begun {
		first.Queue("BEGIN")
		if !p.patient {
			first.Queue(impatient)
		}
	}
	return first
}

// Send runs the statements of a batch in one round trip and calls their functions. It returns the first error.
func (p *Pipeline) Send(ctx context.Context, batch *pgx.Batch) error {
	p.begun = true
	return p.conn.SendBatch(ctx, batch).Close()
}

func (p *Pipeline) commit(ctx context.Context) error {
	if !p.begun {
		return nil
	}
	crashpoint.Reach("commit", "before")
	results, err := p.conn.PgConn().Exec(ctx, "COMMIT").ReadAll()
	crashpoint.Reach("commit", "after")
	if err == nil && results[0].CommandTag.String() != "COMMIT" { // ROLLBACK, if a statement of the transaction has failed
		return fmt.Errorf("COMMIT was answered by %s", results[0].CommandTag)
	}
	return err
}

// rollback frees the connection for others at once. If it fails, Release closes the connection, which rolls back as well.
func (p *Pipeline) rollback(ctx context.Context) {
	if p.conn.IsClosed() || !p.begun {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, err := p.conn.Exec(ctx, "ROLLBACK"); err != nil {
		slog.WarnContext(ctx, "rollback failed, closing the connection", "error", err)
	}
}

// Columns turns rows into one array per column: the arguments of unnest.
func Columns(rows [][]any) []any {
	columns := make([]any, len(rows[0]))
	for c := range columns {
		column := make([]any, len(rows))
		for r, row := range rows {
			column[r] = row[c]
		}
		columns[c] = column
	}
	return columns
}
