package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/account"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// Register implements account.Store.
func (s *Store) Register(ctx context.Context, r account.Registration) error {
	var taken error // not a failure of the database
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		taken = nil
		added, err := affected(tx.ExecContext(ctx, `
			INSERT INTO customers (account_id, name, cpf_hash, cpf_encrypted, password_hash, created_at)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (cpf_hash) DO NOTHING`,
			r.AccountID, r.Name, r.CPFHash, r.CPFEncrypted, r.PasswordHash, sqldb.Micros(r.CreatedAt)))
		if err != nil {
			return err
		}
		if added == 0 {
			return account.ErrCPFTaken
		}
		added, err = affected(tx.ExecContext(ctx,
			"INSERT INTO accounts (id, number) VALUES ($1, $2) ON CONFLICT (number) DO NOTHING", r.AccountID, r.Number))
		if err == nil && added == 0 {
			taken = account.ErrNumberTaken
			err = taken
		}
		return err
	})
	if taken != nil {
		return taken
	}
	return err
}

func affected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

const selectCustomer = `
	SELECT c.account_id, a.number, c.name, a.deactivated_at IS NULL, c.password_hash
	FROM customers c JOIN accounts a ON a.id = c.account_id WHERE `

// ByCPF implements account.Store.
func (s *Store) ByCPF(ctx context.Context, cpfHash string) (account.Customer, error) {
	return s.customer(ctx, selectCustomer+"c.cpf_hash = $1", cpfHash)
}

// ByID implements account.Store.
func (s *Store) ByID(ctx context.Context, accountID string) (account.Customer, error) {
	return s.customer(ctx, selectCustomer+"c.account_id = $1", accountID)
}

func (s *Store) customer(ctx context.Context, query, arg string) (c account.Customer, err error) {
	err = s.db.Read().QueryRowContext(ctx, query, arg).Scan(&c.AccountID, &c.Number, &c.Name, &c.Active, &c.PasswordHash)
	if errors.Is(err, sql.ErrNoRows) {
		return c, account.ErrUnknown
	}
	return c, sqldb.Away(err)
}

// Exists implements account.Store.
func (s *Store) Exists(ctx context.Context, number string) (exists bool, err error) {
	err = s.db.Read().QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM accounts WHERE number = $1)", number).Scan(&exists)
	return exists, sqldb.Away(err)
}

// Deactivate implements account.Store.
func (s *Store) Deactivate(ctx context.Context, accountID string, at time.Time) error {
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE accounts SET deactivated_at = $1 WHERE id = $2 AND deactivated_at IS NULL",
			sqldb.Micros(at), accountID)
		return err
	})
}
