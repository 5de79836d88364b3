package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"

	"github.com/bankmore/bankmore/platform/verify"
)

// Invariant is a query for violations: one text column, one row for each thing that is wrong. A query that checks several
// invariants in one pass has a column for each, NULL where that invariant holds.
//
// A Warning finds something that is allowed and that an operator should look at. Verify reports it, but not as a violation.
type Invariant struct {
	Name    string
	Also    []string // the names of further columns
	Query   string
	Args    []any
	Warning bool
}

// Verify runs the queries in one Snapshot, and writes every violation and every warning to out as it finds it. It returns
// verify.ErrViolated if there was a violation. Operators read its other errors, so they are no faults. On PostgreSQL, only a
// database opened by OpenReadOnly gives the queries the time they need.
func (db *DB) Verify(ctx context.Context, out io.Writer, invariants []Invariant) error {
	tx, err := db.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	report, names := verify.NewReport(out), 0
	for _, invariant := range invariants {
		if err := check(ctx, tx, report, invariant); err != nil {
			return fmt.Errorf("%s: %w", invariant.Name, err)
		}
		if !invariant.Warning {
			names += 1 + len(invariant.Also)
		}
	}
	return report.Close(names)
}

// Snapshot begins a read-only transaction. All its queries see the database as it is at the first query.
func (db *DB) Snapshot(ctx context.Context) (*sql.Tx, error) {
	return db.read.BeginTx(ctx, &db.engine.snapshot)
}

func check(ctx context.Context, tx *sql.Tx, report *verify.Report, invariant Invariant) error {
	rows, err := tx.QueryContext(ctx, invariant.Query, invariant.Args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	names := append([]string{invariant.Name}, invariant.Also...)
	what, into := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range what {
		into[i] = &what[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		tell := report.Violation
		if invariant.Warning {
			tell = report.Warning
		}
		found := false
		for i, name := range names {
			if what[i].Valid {
				tell(name, what[i].String)
				found = true
			}
		}
		if !found {
			return errors.New("the query has found something and does not say what")
		}
	}
	return rows.Err()
}
