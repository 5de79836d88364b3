package sqldb

import (
	"errors"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bankmore/bankmore/platform/batch"
)

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

func postgresRolledBack(err error) bool { return hasState(err, conflicts) }

func postgresDisconnected(err error) bool { return hasState(err, goodbyes) || pgconn.SafeToRetry(err) }

func hasState(err error, states []string) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && slices.Contains(states, server.Code)
}

// lockNotAvailable is the SQLSTATE of a statement that has waited too long for a lock.
const lockNotAvailable = "55P03"

// The classes of SQLSTATEs whose reason lies in a row or a value.
var classesOfOne = map[string]bool{
	"22": true, // data exception
	"23": true, // integrity constraint violation
	"40": true, // transaction rollback: a deadlock, met again at each attempt
	"54": true, // program limit exceeded: a value too long for an index
	"P0": true, // a trigger raised an exception
}

func postgresExtent(err error) (extent batch.Extent, ok bool) {
	var server *pgconn.PgError
	switch {
	case !errors.As(err, &server): // the driver could not encode a value
		return batch.OneInput, true
	case server.Code == lockNotAvailable:
		return batch.SameKey, true
	default:
		return batch.OneInput, classesOfOne[server.Code[:2]]
	}
}
