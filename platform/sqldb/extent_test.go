package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/fault"
)

func state(code string) error { return fmt.Errorf("writing: %w", &pgconn.PgError{Code: code}) }

// Each error gets the right extent, so that package batch divides a failed flight only if that helps.
func TestExtents(t *testing.T) {
	refusal := fault.New(fault.Refused, "X", "x")
	for _, test := range []struct {
		before, commit error
		want           batch.Extent
	}{
		{before: state("23514"), want: batch.OneInput}, // a CHECK
		{before: state("22021"), want: batch.OneInput}, // a byte that is no character
		{before: state("54000"), want: batch.OneInput}, // too long for an index
		{before: state("P0001"), want: batch.OneInput}, // a trigger
		{before: state("40P01"), want: batch.OneInput}, // a deadlock, at each attempt
		{before: errors.New("cannot encode"), want: batch.OneInput},
		{before: state("55P03"), want: batch.SameKey},
		{before: state("53100"), want: batch.Everything}, // the disk is full
		{before: state("25006"), want: batch.Everything}, // read only
		{before: state("57014"), want: batch.Everything}, // too slow
		{before: state("42P01"), want: batch.Everything}, // no such table
		{before: state("57P01"), want: batch.Everything},
		{before: io.ErrUnexpectedEOF, want: batch.Everything},
		{before: context.DeadlineExceeded, want: batch.Everything},
		{before: refusal, want: batch.Everything},
		{commit: io.ErrUnexpectedEOF, want: batch.Everything},
		{commit: state("23514"), want: batch.Everything},
	} {
		synctest.Test(t, func(t *testing.T) {
			db := &DB{engine: postgres}
			err := db.retry(t.Context(), func() (error, error) { return test.before, test.commit })
			if got := batch.ExtentOf(err); got != test.want {
				t.Errorf("%v %v: extent %d, want %d", test.before, test.commit, got, test.want)
			}
		})
	}
}
