package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
)

// Invariant is a query for violations: one text column, one row for each thing that is wrong.
type Invariant struct {
	Name  string
	Query string
	Args  []any
}

// ErrViolated is the result of Verify when something is wrong.
var ErrViolated = errors.New("invariants are violated")

// Verify runs the queries in one read-only transaction, so that they all see the same moment, and writes every
// violation to out as it finds it. It returns ErrViolated if there was any.
func (db *DB) Verify(ctx context.Context, out io.Writer, invariants []Invariant) error {
	tx, err := db.read.BeginTx(ctx, &db.engine.snapshot)
	if err != nil {
		return Away(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	if _, err := tx.ExecContext(ctx, db.engine.patience); err != nil {
		return Away(err)
	}
	violations := 0
	for _, invariant := range invariants {
		n, err := report(ctx, tx, out, invariant)
		if err != nil {
			return fmt.Errorf("%s: %w", invariant.Name, Away(err))
		}
		violations += n
	}
	fmt.Fprintf(out, "%d invariants checked, %d violations\n", len(invariants), violations)
	if violations > 0 {
		return ErrViolated
	}
	return nil
}

func report(ctx context.Context, tx *sql.Tx, out io.Writer, invariant Invariant) (violations int, err error) {
	rows, err := tx.QueryContext(ctx, invariant.Query, invariant.Args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var what string
		if err := rows.Scan(&what); err != nil {
			return violations, err
		}
		violations++
		fmt.Fprintf(out, "VIOLATION %s: %s\n", invariant.Name, what)
	}
	return violations, rows.Err()
}
