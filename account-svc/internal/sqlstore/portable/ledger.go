package portable

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// ErrStale says that an account changed between load and write. Locks make that impossible. If it happens all the same, the
// transaction writes nothing.
var ErrStale = errors.New("account version has changed during the transaction")

const movementColumns = `id, request_key, fingerprint, account_id, seq, type, amount, contra, kind, counterparty,
	transfer_id, description, balance_after, created_at`

// InsertedColumns are the columns of a new movement: movementColumns, and two that the service writes but never reads.
const (
	InsertedColumns = movementColumns + ", transfer_request_id, transfer_fingerprint"
	InsertedWidth   = 16
)

// MovementValues returns the values of InsertedColumns.
func MovementValues(m ledger.Movement) []any {
	return []any{
		m.ID, m.RequestKey, m.Fingerprint, m.AccountID, m.Seq, m.Type, m.Amount, m.Contra, m.Kind,
		m.Counterparty, m.TransferID, m.Description, m.BalanceAfter, sqldb.Micros(m.CreatedAt),
		sqldb.NullText(m.TransferRequestID), sqldb.NullText(m.TransferFingerprint),
	}
}

// SelectBalance reads one account with its owner.
const SelectBalance = `
	SELECT a.id, a.number, c.name, a.deactivated_at IS NULL, a.balance, a.version
	FROM accounts a JOIN customers c ON c.account_id = a.id WHERE a.id = $1`

// Balance implements ledger.Store.
func (s Store) Balance(ctx context.Context, accountID string) (a ledger.Account, err error) {
	err = s.db.Read().QueryRowContext(ctx, SelectBalance, accountID).
		Scan(&a.ID, &a.Number, &a.Owner, &a.Active, &a.Balance, &a.Version)
	if errors.Is(err, sql.ErrNoRows) {
		return a, ledger.ErrUnknownAccount
	}
	return a, sqldb.Away(err)
}

// SelectStatement reads the movements of an active account. It may be followed by further conditions.
const SelectStatement = "SELECT " + movementColumns + ` FROM movements
	WHERE account_id = $1 AND EXISTS (SELECT 1 FROM accounts WHERE accounts.id = $1 AND deactivated_at IS NULL)`

// Statement implements ledger.Store.
func (s Store) Statement(ctx context.Context, accountID string, f ledger.Filter, limit int) ([]ledger.Movement, error) {
	query, args := SelectStatement, []any{accountID}
	narrow := func(condition string, value int64) {
		args = append(args, value)
		query += fmt.Sprintf(" AND %s $%d", condition, len(args))
	}
	if f.Before > 0 {
		narrow("seq <", f.Before)
	}
	if f.After > 0 {
		narrow("seq >", f.After)
	}
	args = append(args, limit)
	order := "DESC"
	if f.OldestFirst {
		order = "ASC"
	}
	query += fmt.Sprintf(" ORDER BY seq %s LIMIT $%d", order, len(args))

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

// SelectMark finds the movement before an instant by halving: in 32 steps, each of which reads one row by its number. No index
// has the times, since it would cost each movement more than the few statements are worth. The search always begins with the
// same numbers, so later movements do not change what it finds, also where times are not in order.
const SelectMark = `
	WITH RECURSIVE search (low, high) AS (
		SELECT CAST(0 AS BIGINT), CAST(4294967296 AS BIGINT)
		UNION ALL
		SELECT
			CASE WHEN (SELECT created_at FROM movements WHERE account_id = $1 AND seq = (low + high) / 2) < $2 THEN (low + high) / 2 ELSE low END,
			CASE WHEN (SELECT created_at FROM movements WHERE account_id = $1 AND seq = (low + high) / 2) < $2 THEN high ELSE (low + high) / 2 END
		FROM search WHERE high - low > 1
	)
	SELECT low, coalesce((SELECT balance_after FROM movements WHERE account_id = $1 AND seq = low), 0) FROM search WHERE high - low = 1`

// Mark implements ledger.Store.
func (s Store) Mark(ctx context.Context, accountID string, at *time.Time) (m ledger.Mark, err error) {
	before := int64(math.MaxInt64)
	if at != nil {
		before = sqldb.Micros(*at)
	}
	err = s.db.Read().QueryRowContext(ctx, SelectMark, accountID, before).Scan(&m.Seq, &m.Balance)
	return m, sqldb.Away(err)
}

// SelectOwners returns the query for the owners of the accounts whose numbers are in a list. It has no join, since PostgreSQL
// could read a whole index for one (docs/adr/0039).
func (l Lists) SelectOwners() string {
	return "SELECT number, (SELECT name FROM customers WHERE account_id = accounts.id) FROM accounts WHERE number " + l.Contains
}

// Owners implements ledger.Store.
func (s Store) Owners(ctx context.Context, numbers []string) (map[string]string, error) {
	owners := map[string]string{}
	err := s.each(ctx, s.lists.SelectOwners(), numbers, func(rows *sql.Rows) error {
		var number, name string
		err := rows.Scan(&number, &name)
		owners[number] = name
		return err
	})
	return owners, err
}
