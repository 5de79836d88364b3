// Package portable is what the stores of all SQL engines do alike. The store of each engine embeds its Store and adds
// transfer.Store's Commit.
package portable

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// Store implements transfer.Store but for Commit.
type Store struct {
	db         *sqldb.DB
	outbox     outbox.Table
	skipLocked string
}

// New returns a store in db, which must be migrated. skipLocked ends a query for rows to be claimed: it passes over rows that
// another transaction is claiming, where there can be another.
func New(db *sqldb.DB, skipLocked string) Store {
	return Store{db: db, outbox: outbox.Of(db), skipLocked: skipLocked}
}

// givenColumns are the columns of a new transfer whose values the service gives. The database adds its times.
const (
	givenColumns = `id, request_id, fingerprint, origin_account_id, origin_account_number, destination_account_number, amount, state`
	givenWidth   = 8
)

const storedColumns = givenColumns + `, failure_type, failure_message, claims, created_at, updated_at, completed_at`

// Columns returns what Scan reads. Its last column is what is left of the lease at the time now of sqldb.DB.Now.
func Columns(now string) string { return storedColumns + ", lease_until - " + now }

func given(t transfer.Transfer) []any {
	return []any{
		t.ID, t.RequestID, t.Fingerprint, t.Origin.AccountID, t.Origin.AccountNumber, t.Destination, t.Amount, t.State,
	}
}

// nullText returns NULL if there is no failure.
func nullText(s string, f accountapi.Refusal) sql.NullString {
	return sql.NullString{String: s, Valid: f != accountapi.Refusal{}}
}

// Scan reads Columns.
func Scan(row interface{ Scan(dest ...any) error }) (t transfer.Transfer, err error) {
	var failureType, failureMessage sql.NullString
	var created, updated int64
	var completed, lease sql.NullInt64 // a final transfer has no lease
	err = row.Scan(&t.ID, &t.RequestID, &t.Fingerprint, &t.Origin.AccountID, &t.Origin.AccountNumber, &t.Destination, &t.Amount,
		&t.State, &failureType, &failureMessage, &t.Claims, &created, &updated, &completed, &lease)
	t.Failure = accountapi.Refusal{Type: failureType.String, Message: failureMessage.String}
	t.CreatedAt, t.UpdatedAt = sqldb.Time(created), sqldb.Time(updated)
	if completed.Valid {
		t.CompletedAt = sqldb.Time(completed.Int64)
	}
	t.Lease = duration(max(0, lease.Int64))
	return t, err
}

func duration(micros int64) time.Duration { return time.Duration(micros) * time.Microsecond }

// Collect reads rows of Columns and closes them.
func Collect(rows *sql.Rows, err error) ([]transfer.Transfer, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []transfer.Transfer
	for rows.Next() {
		t, err := Scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, rows.Err()
}

// Transfer implements transfer.Store.
func (s Store) Transfer(ctx context.Context, id string) (transfer.Transfer, error) {
	t, err := Scan(s.db.Read().QueryRowContext(ctx, "SELECT "+Columns(s.db.Now())+" FROM transfers WHERE id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		return t, transfer.ErrNotFound
	}
	return t, sqldb.Away(err)
}

// SelectList joins two index ranges, sent and received, and reads at most one page of each. No transfer is in both, since
// no account can send to itself.
func SelectList(now string) string {
	return `
	SELECT ` + Columns(now) + ` FROM (
		SELECT * FROM (
			SELECT ` + storedColumns + `, lease_until FROM transfers WHERE origin_account_id = $1 AND id < $3 ORDER BY id DESC LIMIT $4
		) AS sent
		UNION ALL
		SELECT * FROM (
			SELECT ` + storedColumns + `, lease_until FROM transfers
			WHERE destination_account_number = $2 AND state = 'COMPLETED' AND id < $3 ORDER BY id DESC LIMIT $4
		) AS received
	) AS both_ways
	ORDER BY id DESC LIMIT $4`
}

// List implements transfer.Store.
func (s Store) List(ctx context.Context, p transfer.Party, before string, limit int) ([]transfer.Transfer, error) {
	all, err := Collect(s.db.Read().QueryContext(ctx, SelectList(s.db.Now()), p.AccountID, p.AccountNumber, before, limit))
	return all, sqldb.Away(err)
}

// Backlog implements transfer.Store.
func (s Store) Backlog(ctx context.Context) (map[transfer.State]transfer.Backlog, error) {
	rows, err := s.db.Read().QueryContext(ctx,
		"SELECT state, count(*), max(abs("+s.db.Now()+" - created_at)) FROM transfers WHERE lease_until IS NOT NULL GROUP BY state")
	if err != nil {
		return nil, sqldb.Away(err)
	}
	defer rows.Close()
	backlog := map[transfer.State]transfer.Backlog{}
	for rows.Next() {
		var state transfer.State
		var b transfer.Backlog
		var age int64
		if err := rows.Scan(&state, &b.Count, &age); err != nil {
			return nil, sqldb.Away(err)
		}
		b.Age = duration(age)
		backlog[state] = b
	}
	return backlog, sqldb.Away(rows.Err())
}
