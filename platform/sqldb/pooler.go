package sqldb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// errTransactionPooling is the error for a pooler that gives a session another server connection for each transaction.
var errTransactionPooling = errors.New("DATABASE_URL leads to a pooler that gives every transaction another server connection, " +
	"as PgBouncer does with pool_mode = transaction: set pool_mode = session for this database, or name PostgreSQL itself; " +
	"the services' settings, prepared statements and locks last as long as a session")

// protocolViolation is the SQLSTATE by which PgBouncer refuses a setting that comes with the connection.
const protocolViolation = "08P01"

// throughPooler reports whether a pooler, such as PgBouncer, stands in front of the server. It accepts a pooler that keeps a
// session on one server connection, and returns errTransactionPooling for any other.
func throughPooler(ctx context.Context, config *pgx.ConnConfig) (pooled bool, err error) {
	config = config.Copy()
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // leaves no prepared statement on a server connection
	first, err := pgx.ConnectConfig(ctx, config)
	if refused := new(pgconn.PgError); errors.As(err, &refused) && refused.Code == protocolViolation && strings.Contains(refused.Message, "startup parameter") {
		config.RuntimeParams = map[string]string{}
		first, err = pgx.ConnectConfig(ctx, config)
	}
	if err != nil {
		return false, err
	}
	defer first.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	server, err := serverProcess(ctx, first)
	if err != nil {
		return false, err
	}
	if server == first.PgConn().PID() { // a pooler makes up a PID of its own, for requests to cancel
		return false, nil
	}
	return true, keepsSessions(ctx, config, first, server)
}

// How often keepsSessions tries, and how long it may take: a pooler with room for one session lets the second one wait for
// ever.
const (
	poolerTries   = 5
	secondTimeout = 3 * time.Second
)

// keepsSessions returns errTransactionPooling if the pooler gives the server connection of first, a session between two
// transactions, to a second session, or if first then gets another server connection. A pooler that keeps sessions does
// neither. A pooler gives away the connection that was used last, so the first try usually shows it.
func keepsSessions(ctx context.Context, config *pgx.ConnConfig, first *pgx.Conn, server uint32) error {
	limited, cancel := context.WithTimeout(ctx, secondTimeout)
	defer cancel()
	second, err := pgx.ConnectConfig(limited, config)
	if err != nil {
		return ignoreTimeout(ctx, err)
	}
	defer second.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	for range poolerTries {
		tx, err := second.Begin(limited)
		if err != nil && limited.Err() == nil { // PgBouncer's statement mode refuses
			return errors.Join(errTransactionPooling, err)
		}
		if err != nil {
			return ignoreTimeout(ctx, err)
		}
		other, err := serverProcess(limited, second)
		if err != nil {
			return ignoreTimeout(ctx, err)
		}
		again, err := serverProcess(limited, first)
		if err != nil {
			return err
		}
		if other == server || again != server {
			return errTransactionPooling
		}
		if err := tx.Rollback(limited); err != nil {
			return err
		}
	}
	return nil
}

// ignoreTimeout returns nil if the second session got no server connection in time: then the first session has kept its
// own.
func ignoreTimeout(ctx context.Context, err error) error {
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// serverProcess returns the id of the server process that answers conn.
func serverProcess(ctx context.Context, conn *pgx.Conn) (pid uint32, err error) {
	err = conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid)
	return pid, err
}

// set returns a function that gives a new session its settings, with one statement.
func set(settings map[string]string) func(context.Context, *pgx.Conn) error {
	var calls []string
	var args []any
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		calls = append(calls, fmt.Sprintf("set_config($%d, $%d, false)", len(args)+1, len(args)+2))
		args = append(args, name, settings[name])
	}
	statement := "SELECT " + strings.Join(calls, ", ")
	return func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, statement, args...)
		return err
	}
}
