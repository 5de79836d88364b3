package sqldb

import (
	"context"
	"errors"

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

// attribute finds out, from an error from before a commit, how many inputs of the transaction share its reason.
func (db *DB) attribute(err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || db.disconnected(err) {
		return err
	}
	extent, ok := db.engine.extent(err)
	if !ok {
		return err
	}
	return refused{err, extent}
}
