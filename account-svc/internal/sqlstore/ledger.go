package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// maxKeys bounds the keys that one statement looks up.
const maxKeys = 250

// errStale says that an account changed between load and write. Locks make that impossible. If it happens all the same, the
// transaction writes nothing.
var errStale = errors.New("account version has changed during the transaction")

// Apply implements ledger.Store. SQLite has one write transaction at a time, which begins before the load.
func (s *Store) Apply(ctx context.Context, commands []ledger.Command, decide func(ledger.State) ledger.Effects) error {
	if s.db.Pipelined() {
		return s.applyPostgres(ctx, commands, decide)
	}
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
	for chunk := range slices.Chunk(numbers, maxKeys) {
		if err := loadAccounts(ctx, tx, chunk, state.Accounts); err != nil {
			return state, fmt.Errorf("loading accounts: %w", err)
		}
	}
	for chunk := range slices.Chunk(keys, maxKeys) {
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
	rows, err := tx.QueryContext(ctx, "SELECT id, number, deactivated_at IS NULL, balance, version, in_transit FROM accounts WHERE number IN ("+
		sqldb.Args(1, len(numbers))+")", numbers...)
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
	args := sqldb.Args(1, len(keys))
	rows, err := tx.QueryContext(ctx, "SELECT request_key, fingerprint, '' FROM movements WHERE request_key IN ("+args+
		") UNION ALL SELECT request_key, fingerprint, type FROM refusals WHERE request_key IN ("+args+")", keys...)
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
	for _, change := range e.Accounts {
		changed, err := affected(tx.ExecContext(ctx, "UPDATE accounts SET balance = $1, version = $2, in_transit = $3 WHERE id = $4 AND version = $5",
			change.Balance, change.Version, change.InTransit, change.ID, change.Was))
		if err != nil {
			return fmt.Errorf("changing balances: %w", err)
		}
		if changed != 1 {
			return errStale
		}
	}
	return nil
}

const movementColumns = `id, request_key, fingerprint, account_id, seq, type, amount, contra, kind, counterparty,
	transfer_id, description, balance_after, created_at`

// insertedColumns adds the two columns that the service writes but never reads.
const insertedColumns = movementColumns + ", transfer_request_id, transfer_fingerprint"

func movementValues(m ledger.Movement) []any {
	return []any{
		m.ID, m.RequestKey, m.Fingerprint, m.AccountID, m.Seq, m.Type, m.Amount, m.Contra, m.Kind,
		m.Counterparty, m.TransferID, m.Description, m.BalanceAfter, sqldb.Micros(m.CreatedAt),
		nullText(m.TransferRequestID), nullText(m.TransferFingerprint),
	}
}

// nullText is NULL for "".
func nullText(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// insertMovements runs one prepared statement per row: in-process that is cheaper than binding a long VALUES list.
func insertMovements(ctx context.Context, tx *sql.Tx, movements []ledger.Movement) error {
	if len(movements) == 0 {
		return nil
	}
	insert, err := tx.PrepareContext(ctx, "INSERT INTO movements ("+insertedColumns+") VALUES "+sqldb.Rows(1, 16))
	if err != nil {
		return err
	}
	defer insert.Close()
	for _, m := range movements {
		if _, err := insert.ExecContext(ctx, movementValues(m)...); err != nil {
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

const selectBalance = `
	SELECT a.id, a.number, c.name, a.deactivated_at IS NULL, a.balance, a.version
	FROM accounts a JOIN customers c ON c.account_id = a.id WHERE a.id = $1`

// Balance implements ledger.Store.
func (s *Store) Balance(ctx context.Context, accountID string) (a ledger.Account, err error) {
	err = s.db.Read().QueryRowContext(ctx, selectBalance, accountID).
		Scan(&a.ID, &a.Number, &a.Owner, &a.Active, &a.Balance, &a.Version)
	if errors.Is(err, sql.ErrNoRows) {
		return a, ledger.ErrUnknownAccount
	}
	return a, sqldb.Away(err)
}

const selectStatement = "SELECT " + movementColumns + " FROM movements WHERE account_id = $1"

// Statement implements ledger.Store.
func (s *Store) Statement(ctx context.Context, accountID string, f ledger.Filter, limit int) ([]ledger.Movement, error) {
	query, args := selectStatement, []any{accountID}
	narrow := func(condition string, value int64) {
		args = append(args, value)
		query += fmt.Sprintf(" AND %s $%d", condition, len(args))
	}
	if f.Before > 0 {
		narrow("seq <", f.Before)
	}
	if f.From != nil {
		narrow("created_at >=", sqldb.Micros(*f.From))
	}
	if f.To != nil {
		narrow("created_at <", sqldb.Micros(*f.To))
	}
	args = append(args, limit)
	query += fmt.Sprintf(" ORDER BY seq DESC LIMIT $%d", len(args))

	rows, err := s.db.Read().QueryContext(ctx, query, args...)
	if err != nil {
		return nil, sqldb.Away(err)
	}
	defer rows.Close()
	var movements []ledger.Movement
	for rows.Next() {
		var m ledger.Movement
		var created int64
		if err := rows.Scan(&m.ID, &m.RequestKey, &m.Fingerprint, &m.AccountID, &m.Seq, &m.Type, &m.Amount, &m.Contra, &m.Kind,
			&m.Counterparty, &m.TransferID, &m.Description, &m.BalanceAfter, &created); err != nil {
			return nil, sqldb.Away(err)
		}
		m.CreatedAt = sqldb.Time(created)
		movements = append(movements, m)
	}
	return movements, sqldb.Away(rows.Err())
}
