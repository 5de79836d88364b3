package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/bankmore/bankmore/platform/fault"
)

var repeated = promauto.NewCounter(prometheus.CounterOpts{
	Name: "database_transactions_repeated_total",
	Help: "Transactions begun anew after the database had rolled them back or the connection was lost before the commit.",
})

// maxAttempts bounds how often a transaction is tried. The pauses are 10, 20, 40 and 80 ms, each shortened at random by up
// to half, so that two transactions that collided do not collide again.
const (
	maxAttempts = 5
	firstPause  = 10 * time.Millisecond
)

// again runs attempt until it succeeds, fails for good, or maxAttempts are used up. attempt returns an error from before the
// commit, after which the transaction has had no effect, or an error of the commit.
func (db *DB) again(ctx context.Context, attempt func() (before, commit error)) error {
	for n := 1; ; n++ {
		err, commit := attempt()
		if db.pool != nil && (disconnected(err) || disconnected(commit) || timedOut(err) || timedOut(commit)) {
			// The other connections are probably broken as well, perhaps silently. A timeout here means no answer at all,
			// since the server would have ended a slow statement earlier (statement_timeout).
			db.pool.Reset()
		}
		transient := rolledBack(err) || disconnected(err)
		err = attribute(err)
		if err == nil { // if the connection was lost during the commit, nobody knows its outcome, whatever pgx says
			err, transient = commit, rolledBack(commit)
		}
		if err == nil || !transient || n == maxAttempts || ctx.Err() != nil {
			return Away(err)
		}
		repeated.Inc()
		pause := firstPause << (n - 1)
		select {
		case <-ctx.Done():
			return Away(err)
		case <-time.After(pause/2 + rand.N(pause/2)): //nolint:gosec // no secret
		}
	}
}

// The SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html) that say: nothing happened, try again.
var (
	conflicts = []string{
		"40001", // serialization_failure
		"40P01", // deadlock_detected
		"23505", // unique_violation: another transaction has just decided the same key; the next attempt sees that
	}
	goodbyes = []string{
		"57P01", // admin_shutdown
		"57P02", // crash_shutdown
		"57P03", // cannot_connect_now
		"25P03", // idle_in_transaction_session_timeout
	}
)

func rolledBack(err error) bool { return hasState(err, conflicts) }

func timedOut(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

func disconnected(err error) bool {
	if timedOut(err) { // a net.Error, too
		return false
	}
	var network net.Error
	return hasState(err, goodbyes) || pgconn.SafeToRetry(err) || errors.Is(err, driver.ErrBadConn) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func hasState(err error, states []string) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && slices.Contains(states, server.Code)
}

// Away marks err as a failure of the database (kind Unavailable), unless it is a fault already or nil.
func Away(err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	return fault.Away(err)
}
