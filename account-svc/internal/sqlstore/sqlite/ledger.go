package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore/portable"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// Apply implements ledger.Store. SQLite has one write transaction at a time, which begins before the load.
func (s *Store) Apply(ctx context.Context, commands []ledger.Command, decide func(ledger.State) ledger.Effects) error {
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		state, err := load(ctx, tx, commands)
		if err != nil {
			return err
		}
		return write(ctx, tx, decide(state))
	})
}

func load(ctx context.Context, tx *sql.Tx, commands []ledger.Command) (ledger.State, error) {
	state := ledger.State{Accounts: map[string]*ledger.Account{}, Decisions: map[string]ledger.Decision{}}
	numbers, keys := touched(commands)
	for chunk := range slices.Chunk(numbers, sqldb.SQLiteMaxRows) {
		if err := loadAccounts(ctx, tx, chunk, state.Accounts); err != nil {
			return state, fmt.Errorf("loading accounts: %w", err)
		}
	}
	for chunk := range slices.Chunk(keys, sqldb.SQLiteMaxRows) {
		if err := loadDecisions(ctx, tx, chunk, state.Decisions); err != nil {
			return state, fmt.Errorf("loading decisions: %w", err)
		}
	}
	return state, nil
}

// touched lists the account numbers and request keys that commands name, each once.
func touched(commands []ledger.Command) (numbers, keys []any) {
	seen := map[string]bool{}
	for _, c := range commands {
		for _, number := range []string{c.AccountNumber, c.Counterparty} {
			if number != "" && !seen["number "+number] {
				seen["number "+number] = true
				numbers = append(numbers, number)
			}
		}
		if !seen["key "+c.RequestKey] {
			seen["key "+c.RequestKey] = true
			keys = append(keys, c.RequestKey)
		}
	}
	return numbers, keys
}

func loadAccounts(ctx context.Context, tx *sql.Tx, numbers []any, into map[string]*ledger.Account) error {
	rows, err := tx.QueryContext(ctx, "SELECT id, number, deactivated_at IS NULL, balance, version, in_transit FROM accounts WHERE number IN "+
		sqldb.SQLiteRows(1, len(numbers)), numbers...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var a ledger.Account
		if err := rows.Scan(&a.ID, &a.Number, &a.Active, &a.Balance, &a.Version, &a.InTransit); err != nil {
			return err
		}
		into[a.Number] = &a
	}
	return rows.Err()
}

func loadDecisions(ctx context.Context, tx *sql.Tx, keys []any, into map[string]ledger.Decision) error {
	in := " IN " + sqldb.SQLiteRows(1, len(keys))
	rows, err := tx.QueryContext(ctx, "SELECT request_key, fingerprint, '' FROM movements WHERE request_key"+in+
		" UNION ALL SELECT request_key, fingerprint, type FROM refusals WHERE request_key"+in, slices.Concat(keys, keys)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		var d ledger.Decision
		if err := rows.Scan(&key, &d.Fingerprint, &d.Refusal); err != nil {
			return err
		}
		into[key] = d
	}
	return rows.Err()
}

func write(ctx context.Context, tx *sql.Tx, e ledger.Effects) error {
	if err := insertMovements(ctx, tx, e.Movements); err != nil {
		return fmt.Errorf("adding movements: %w", err)
	}
	if err := insertRefusals(ctx, tx, e.Refused); err != nil {
		return fmt.Errorf("adding refusals: %w", err)
	}
	if err := changeAccounts(ctx, tx, e.Accounts); err != nil {
		return fmt.Errorf("changing balances: %w", err)
	}
	return nil
}

func insertMovements(ctx context.Context, tx *sql.Tx, movements []ledger.Movement) error {
	for chunk := range slices.Chunk(movements, sqldb.SQLiteMaxRows) {
		args := make([]any, 0, portable.InsertedWidth*len(chunk))
		for _, m := range chunk {
			args = append(args, portable.MovementValues(m)...)
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO movements ("+portable.InsertedColumns+") VALUES "+
			sqldb.SQLiteRows(len(chunk), portable.InsertedWidth), args...)
		if err != nil {
			return err
		}
	}
	return nil
}

func insertRefusals(ctx context.Context, tx *sql.Tx, refused map[string]ledger.Decision) error {
	now := sqldb.Micros(time.Now())
	for key, d := range refused {
		if _, err := tx.ExecContext(ctx, "INSERT INTO refusals (request_key, fingerprint, type, created_at) VALUES ($1, $2, $3, $4)",
			key, d.Fingerprint, d.Refusal, now); err != nil {
			return err
		}
	}
	return nil
}

// changeAccounts runs one prepared statement per account. One statement for all, with a VALUES list, costs more where there
// is one account, and saves nothing where there are many.
func changeAccounts(ctx context.Context, tx *sql.Tx, changes []ledger.Change) error {
	if len(changes) == 0 {
		return nil
	}
	update, err := tx.PrepareContext(ctx, "UPDATE accounts SET balance = ?, version = ?, in_transit = ? WHERE id = ? AND version = ?")
	if err != nil {
		return err
	}
	defer update.Close()
	for _, c := range changes {
		changed, err := portable.Affected(update.ExecContext(ctx, c.Balance, c.Version, c.InTransit, c.ID, c.Was))
		if err != nil {
			return err
		}
		if changed != 1 {
			return portable.ErrStale
		}
	}
	return nil
}
