package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore/portable"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// Add implements fee.Store.
func (s *Store) Add(ctx context.Context, fees []fee.Fee) ([]bool, error) {
	var inserted map[string]bool
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		inserted = make(map[string]bool, len(fees))
		for chunk := range slices.Chunk(fees, sqldb.SQLiteMaxRows) {
			if err := insert(ctx, tx, s.db.Now(), chunk, inserted); err != nil {
				return err
			}
		}
		return owe(ctx, tx, s.db.Now(), portable.Indebted(fees, inserted))
	})
	if err != nil {
		return nil, fmt.Errorf("adding fees: %w", err)
	}
	return portable.Added(fees, inserted), nil
}

// owe makes debtors of accounts. Without a WHERE, SQLite would read ON CONFLICT as the condition of a join.
func owe(ctx context.Context, tx *sql.Tx, now string, numbers []string) error {
	accounts, err := list(numbers)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO debtors (account_number, due_at) SELECT value, "+now+" FROM json_each($1) WHERE TRUE "+portable.MakeDebtor, accounts)
	return err
}

func insert(ctx context.Context, tx *sql.Tx, now string, fees []fee.Fee, inserted map[string]bool) error {
	args := make([]any, 0, portable.NewWidth*len(fees))
	for _, f := range fees {
		args = append(args, portable.NewValues(f)...)
	}
	rows, err := tx.QueryContext(ctx, "WITH new ("+portable.NewColumns+") AS (VALUES "+sqldb.SQLiteRows(len(fees), portable.NewWidth)+") "+
		portable.InsertFrom(now)+"new WHERE TRUE"+portable.UnlessPresent+" RETURNING id", args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		inserted[id] = true
	}
	return rows.Err()
}

// Settle implements fee.Queue.
func (s *Store) Settle(ctx context.Context, settlements []fee.Settlement, releases []fee.Release) ([]fee.Settlement, error) {
	var settled []fee.Fee
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		settled = nil
		now := s.db.Now()
		for chunk := range slices.Chunk(settlements, sqldb.SQLiteMaxRows) {
			fees, err := settle(ctx, tx, now, chunk)
			if err != nil {
				return err
			}
			settled = append(settled, fees...)
		}
		if err := release(ctx, tx, now, releases); err != nil {
			return err
		}
		messages, err := portable.Events(settled)
		if err != nil {
			return err
		}
		return s.outbox.Add(ctx, tx, now, messages)
	})
	if err != nil {
		return nil, fmt.Errorf("settling fees: %w", err)
	}
	return portable.Settled(settlements, settled), nil
}

// settle updates the fees that are still pending at their settlement's attempt, and returns them as they are afterwards. It
// does not ask whether the collector's claim has ended: what the ledger has decided under a key stays true.
func settle(ctx context.Context, tx *sql.Tx, now string, settlements []fee.Settlement) (fees []fee.Fee, err error) {
	args := make([]any, 0, portable.NextWidth*len(settlements))
	for _, s := range settlements {
		args = append(args, portable.NextValues(s)...)
	}
	rows, err := tx.QueryContext(ctx, "WITH next ("+portable.NextColumns+") AS (VALUES "+sqldb.SQLiteRows(len(settlements), portable.NextWidth)+`)
		UPDATE fees SET `+portable.SetNext(now)+" FROM next WHERE "+portable.SettledFees+" RETURNING "+portable.ReturnedColumns, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		f, err := portable.ScanFee(rows)
		if err != nil {
			return nil, err
		}
		fees = append(fees, f)
	}
	return fees, rows.Err()
}

// release deletes the debtors that owe nothing, and sets the due times of the others.
func release(ctx context.Context, tx *sql.Tx, now string, releases []fee.Release) error {
	numbers, err := list(portable.Accounts(releases))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM debtors WHERE account_number IN (SELECT value FROM json_each($1)) AND "+portable.OwesNothing, numbers)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(releases, sqldb.SQLiteMaxRows) {
		args := make([]any, 0, portable.ReleaseWidth*len(chunk))
		for _, r := range chunk {
			args = append(args, portable.ReleaseValues(r)...)
		}
		_, err := tx.ExecContext(ctx, "WITH next ("+portable.ReleaseColumns+") AS (VALUES "+sqldb.SQLiteRows(len(chunk), portable.ReleaseWidth)+`)
			UPDATE debtors SET `+portable.SetReleased(now)+" FROM next WHERE "+portable.Released, args...)
		if err != nil {
			return err
		}
	}
	return nil
}
