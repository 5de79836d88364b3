package sqldb

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/fault"
)

// refused is an error by which the database or the driver has refused a transaction before its commit. extent says how many
// inputs of the transaction share the reason. The transaction has had no effect.
type refused struct {
	error
	extent batch.Extent
}

func (r refused) Unwrap() error { return r.error }

// Extent tells package batch how many inputs share the reason.
func (r refused) Extent() batch.Extent { return r.extent }

// The SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html) whose reason lies in a row or a value.
const lockNotAvailable = "55P03"

var classesOfOne = map[string]bool{
	"22": true, // data exception
	"23": true, // integrity constraint violation
	"40": true, // transaction rollback: a deadlock, met again at each attempt
	"54": true, // program limit exceeded: a value too long for an index
	"P0": true, // a trigger raised an exception
}

// The primary result codes of SQLite (https://www.sqlite.org/rescode.html) whose reason lies in a value.
var codesOfOne = map[int]bool{
	sqlite3.SQLITE_TOOBIG: true, sqlite3.SQLITE_CONSTRAINT: true, sqlite3.SQLITE_MISMATCH: true, sqlite3.SQLITE_RANGE: true,
}

// attribute finds out, from an error from before a commit, how many inputs of the transaction share its reason.
func attribute(err error) error {
	var f *fault.Error
	var server *pgconn.PgError
	var file *driver.Error
	extent := batch.OneInput // if neither server nor connection has reported err, the driver could not encode a value
	switch {
	case err == nil, errors.As(err, &f), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), disconnected(err):
		return err
	case errors.As(err, &server) && server.Code == lockNotAvailable:
		extent = batch.SameKey
	case errors.As(err, &server) && !classesOfOne[server.Code[:2]]:
		return err
	case errors.As(err, &file) && !codesOfOne[file.Code()&0xff]:
		return err
	}
	return refused{err, extent}
}
