package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// Add implements fee.Store.
func (s *Store) Add(ctx context.Context, fees []fee.Fee) ([]bool, error) {
	add := s.addSQLite
	if s.db.Pipelined() {
		add = s.addPostgres
	}
	inserted, err := add(ctx, fees)
	if err != nil {
		return nil, fmt.Errorf("adding fees: %w", err)
	}
	added := make([]bool, len(fees))
	for i, f := range fees {
		added[i] = inserted[f.ID]
	}
	return added, nil
}

func (s *Store) addSQLite(ctx context.Context, fees []fee.Fee) (inserted map[string]bool, err error) {
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		inserted = make(map[string]bool, len(fees))
		for chunk := range slices.Chunk(fees, maxRows) {
			if err := insert(ctx, tx, chunk, inserted); err != nil {
				return err
			}
		}
		return owe(ctx, tx, debts(fees, inserted))
	})
	return inserted, err
}

// debts returns, for each account with inserted pending fees, when the earliest of them was created.
func debts(fees []fee.Fee, inserted map[string]bool) map[string]time.Time {
	since := map[string]time.Time{}
	for _, f := range fees {
		if !inserted[f.ID] || f.Status != fee.Pending {
			continue
		}
		if before, ok := since[f.AccountNumber]; !ok || f.CreatedAt.Before(before) {
			since[f.AccountNumber] = f.CreatedAt
		}
	}
	return since
}

// makeDebtor is the end of an INSERT that adds a debtor. If the account is a debtor already, it can only become due earlier.
// In both cases the statement locks the row. So no release that does not yet see the new fee can delete the debtor.
const makeDebtor = `ON CONFLICT (account_number) DO UPDATE SET due_at = excluded.due_at WHERE debtors.due_at > excluded.due_at`

func owe(ctx context.Context, tx *sql.Tx, since map[string]time.Time) error {
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(since)), maxRows) {
		var args []any
		for _, number := range chunk {
			args = append(args, number, sqldb.Micros(since[number]))
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO debtors (account_number, due_at) VALUES "+sqldb.Rows(len(chunk), 2)+" "+makeDebtor, args...); err != nil {
			return err
		}
	}
	return nil
}

const (
	insertColumns = "id, transfer_id, account_number, amount, status, reason, created_at, due_at"
	insertWidth   = 8
)

// insertValues returns the values of insertColumns for a new fee. Only replicas of the version before the table debtors read
// due_at; for them the fee is due at once.
func insertValues(f fee.Fee) []any {
	created := sqldb.Micros(f.CreatedAt)
	return []any{f.ID, f.TransferID, f.AccountNumber, int64(f.Amount), string(f.Status), string(f.Reason), created, created}
}

func insert(ctx context.Context, tx *sql.Tx, fees []fee.Fee, inserted map[string]bool) error {
	args := make([]any, 0, insertWidth*len(fees))
	for _, f := range fees {
		args = append(args, insertValues(f)...)
	}
	rows, err := tx.QueryContext(ctx, "INSERT INTO fees ("+insertColumns+") VALUES "+
		sqldb.Rows(len(fees), insertWidth)+" ON CONFLICT (transfer_id) DO NOTHING RETURNING id", args...)
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

// feeColumns are the columns of a fee as the customer sees it. A pending fee has the reason INSUFFICIENT_BALANCE if its
// debtor waits for balance.
const feeColumns = `id, transfer_id, account_number, amount, status,
	CASE WHEN status = 'PENDING' AND EXISTS (SELECT 1 FROM debtors WHERE debtors.account_number = fees.account_number AND debtors.waits)
		THEN 'INSUFFICIENT_BALANCE' ELSE reason END, created_at, charged_at`

// Get implements fee.Store.
func (s *Store) Get(ctx context.Context, id string) (fee.Fee, error) {
	f, err := scanFee(s.db.Read().QueryRowContext(ctx, "SELECT "+feeColumns+" FROM fees WHERE id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		return f, fee.ErrNotFound
	}
	return f, sqldb.Away(err)
}

// List implements fee.Store.
func (s *Store) List(ctx context.Context, accountNumber, before string, limit int) (fees []fee.Fee, err error) {
	query, args := "SELECT "+feeColumns+" FROM fees WHERE account_number = $1", []any{accountNumber, limit}
	if before != "" {
		query, args = query+" AND id < $3", append(args, before)
	}
	rows, err := s.db.Read().QueryContext(ctx, query+" ORDER BY id DESC LIMIT $2", args...)
	if err != nil {
		return nil, sqldb.Away(err)
	}
	defer rows.Close()
	for rows.Next() {
		f, err := scanFee(rows)
		if err != nil {
			return nil, sqldb.Away(err)
		}
		fees = append(fees, f)
	}
	return fees, sqldb.Away(rows.Err())
}

// scanFee reads feeColumns or returnedColumns. It reads further columns into more.
func scanFee(row interface{ Scan(dest ...any) error }, more ...any) (f fee.Fee, err error) {
	var created int64
	var charged sql.NullInt64
	err = row.Scan(append([]any{&f.ID, &f.TransferID, &f.AccountNumber, &f.Amount, &f.Status, &f.Reason, &created, &charged}, more...)...)
	f.CreatedAt = sqldb.Time(created)
	if charged.Valid {
		f.ChargedAt = sqldb.Time(charged.Int64)
	}
	return f, err
}
