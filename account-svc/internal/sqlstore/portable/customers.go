package portable

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// Register implements customer.Store.
func (s Store) Register(ctx context.Context, r customer.Registration) error {
	var taken error // not a failure of the database
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		taken = nil
		added, err := Affected(tx.ExecContext(ctx, `
			INSERT INTO customers (account_id, name, cpf_hash, cpf_encrypted, password_hash, created_at)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (cpf_hash) DO NOTHING`,
			r.AccountID, r.Name, r.CPFHash, r.CPFEncrypted, r.PasswordHash, sqldb.Micros(r.CreatedAt)))
		if err != nil {
			return err
		}
		if added == 0 {
			return customer.ErrCPFTaken
		}
		added, err = Affected(tx.ExecContext(ctx,
			"INSERT INTO accounts (id, number) VALUES ($1, $2) ON CONFLICT (number) DO NOTHING", r.AccountID, r.Number))
		if err == nil && added == 0 {
			taken = customer.ErrNumberTaken
			err = taken
		}
		return err
	})
	if taken != nil {
		return taken
	}
	return err
}

// SelectCustomer ends in WHERE.
const SelectCustomer = `
	SELECT c.account_id, a.number, c.name, a.deactivated_at IS NULL, a.version = 0 AND a.deactivated_at IS NULL, c.password_hash
	FROM customers c JOIN accounts a ON a.id = c.account_id WHERE `

// ByCPF implements customer.Store.
func (s Store) ByCPF(ctx context.Context, cpfHash string) (customer.Customer, error) {
	return s.customer(ctx, SelectCustomer+"c.cpf_hash = $1", cpfHash)
}

// ByID implements customer.Store.
func (s Store) ByID(ctx context.Context, accountID string) (customer.Customer, error) {
	return s.customer(ctx, SelectCustomer+"c.account_id = $1", accountID)
}

func (s Store) customer(ctx context.Context, query, arg string) (c customer.Customer, err error) {
	err = s.db.Read().QueryRowContext(ctx, query, arg).Scan(
		&c.AccountID, &c.Number, &c.Name, &c.Active, &c.Untouched, &c.PasswordHash)
	if errors.Is(err, sql.ErrNoRows) {
		return c, customer.ErrUnknown
	}
	return c, sqldb.Away(err)
}

// Exists implements customer.Store.
func (s Store) Exists(ctx context.Context, number string) (exists bool, err error) {
	err = s.db.Read().QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM accounts WHERE number = $1)", number).Scan(&exists)
	return exists, sqldb.Away(err)
}

// Deactivate implements customer.Store. Its one statement locks the account's row, as the ledger does before it reads a
// balance: a credit is either seen here, or finds the account closed.
func (s Store) Deactivate(ctx context.Context, accountID string, at time.Time) error {
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		var closed bool
		err := tx.QueryRowContext(ctx, `
			UPDATE accounts SET deactivated_at = CASE WHEN deactivated_at IS NULL AND balance = 0 THEN $1 ELSE deactivated_at END
			WHERE id = $2 RETURNING deactivated_at IS NOT NULL`, sqldb.Micros(at), accountID).Scan(&closed)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return customer.ErrUnknown
		case err == nil && !closed:
			return customer.ErrBalanceNotZero
		default:
			return err
		}
	})
}

// SelectClosed lists closed accounts after a place in the list.
const SelectClosed = `
	SELECT id, deactivated_at FROM accounts WHERE deactivated_at IS NOT NULL AND (deactivated_at, id) > ($1, $2)
	ORDER BY deactivated_at, id LIMIT $3`

// Closed implements customer.Store.
func (s Store) Closed(ctx context.Context, after customer.Closing, limit int) ([]customer.Closing, error) {
	rows, err := s.db.Read().QueryContext(ctx, SelectClosed, sqldb.Micros(after.At), after.AccountID, limit)
	if err != nil {
		return nil, sqldb.Away(err)
	}
	defer rows.Close()
	var closed []customer.Closing
	for rows.Next() {
		var c customer.Closing
		var at int64
		if err := rows.Scan(&c.AccountID, &at); err != nil {
			return nil, sqldb.Away(err)
		}
		c.At = sqldb.Time(at)
		closed = append(closed, c)
	}
	return closed, sqldb.Away(rows.Err())
}

// Reopen implements customer.Store. If two operators reopen an account at once, the record of this closing exists already for
// one of them. InTx then repeats that transaction, which finds the account open.
func (s Store) Reopen(ctx context.Context, r customer.Reopening) (reopened customer.Reopened, err error) {
	var open error // not a failure of the database
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		open = nil
		var closed sql.NullInt64
		err := tx.QueryRowContext(ctx, "SELECT id, deactivated_at FROM accounts WHERE number = $1", r.Number).
			Scan(&reopened.AccountID, &closed)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return customer.ErrUnknown
		case err != nil:
			return err
		case !closed.Valid:
			open = customer.ErrNotClosed
			return open
		}
		reopened.ClosedAt = sqldb.Time(closed.Int64)
		if _, err := tx.ExecContext(ctx, "INSERT INTO reopenings (account_id, closed_at, reopened_at, reason) VALUES ($1, $2, $3, $4)",
			reopened.AccountID, closed.Int64, sqldb.Micros(r.At), r.Reason); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "UPDATE accounts SET deactivated_at = NULL WHERE id = $1 RETURNING balance", reopened.AccountID).
			Scan(&reopened.Balance)
	})
	if err = cmp.Or(open, err); err != nil {
		return customer.Reopened{}, err
	}
	return reopened, nil
}
