package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/bankmore/bankmore/platform/dependency"
	"github.com/bankmore/bankmore/platform/fault"
)

var repeated = promauto.NewCounter(prometheus.CounterOpts{
	Name: "bankmore_database_transactions_repeated_total",
	Help: "Transactions begun anew after the database had rolled them back or the connection was lost before the commit.",
})

// maxAttempts bounds how often a transaction is tried.
const maxAttempts = 5

// pauses returns the pauses between attempts: 10, 20, 40 and 80 ms, each made longer or shorter at random by up to a third,
// so that two transactions that collided do not collide again.
func pauses() backoff.BackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval: 10 * time.Millisecond, Multiplier: 2, MaxInterval: time.Second, RandomizationFactor: 1. / 3,
	}
}

// retry runs attempt until it succeeds, fails for good, or maxAttempts are used up. attempt returns an error from before the
// commit, after which the transaction has had no effect, or an error of the commit.
func (db *DB) retry(ctx context.Context, attempt func() (before, commit error)) (err error) {
	try := func() (struct{}, error) {
		var transient bool
		if transient, err = db.judge(attempt()); err != nil && !transient {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}
	start := time.Now()
	defer func() { dependency.Observe(dependency.SQL, "transaction", start, failure(err)) }()
	_, _ = backoff.Retry(ctx, try, backoff.WithBackOff(pauses()), backoff.WithMaxTries(maxAttempts),
		backoff.WithNotify(func(error, time.Duration) { repeated.Inc() }))
	return Away(err) // of the last attempt, also if ctx has ended
}

// judge returns the error of an attempt, and whether another attempt may succeed.
func (db *DB) judge(before, commit error) (transient bool, err error) {
	if db.pool != nil && (db.disconnected(before) || db.disconnected(commit) || timedOut(before) || timedOut(commit)) {
		// The other connections are probably broken as well, perhaps silently. A timeout here means no answer at all,
		// since the server would have ended a slow statement earlier (statement_timeout).
		db.pool.Reset()
	}
	if before != nil {
		return db.engine.rolledBack(before) || db.disconnected(before), db.attribute(before)
	}
	return db.engine.rolledBack(commit), commit // if the connection was lost during the commit, nobody knows its outcome, whatever pgx says
}

// failure returns err if it is the database's, and nil if it is a fault that fn has returned for reasons of its own.
func failure(err error) error {
	if f := fault.From(err); f != nil && f.Kind == fault.Unavailable {
		return f.Err
	}
	return nil
}

func timedOut(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

func (db *DB) disconnected(err error) bool {
	if timedOut(err) { // a net.Error, too
		return false
	}
	var network net.Error
	return db.engine.disconnected(err) || errors.Is(err, driver.ErrBadConn) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Away marks err as a failure of the database (kind Unavailable), unless it is a fault already or nil.
func Away(err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	return fault.Away(err)
}

// Cause is the reverse of Away, for errors that operators read: it returns the cause of a fault, without the message for customers.
// Other errors come back as they are.
func Cause(err error) error {
	var f *fault.Error
	if errors.As(err, &f) && f.Err != nil {
		return f.Err
	}
	return err
}
