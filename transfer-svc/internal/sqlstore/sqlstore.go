// Package sqlstore keeps transfers and their events in SQL.
package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"time"

	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

//go:embed migrations
var migrations embed.FS

// Migrations returns the schema's migrations, in one folder per engine.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}

// Store implements transfer.Store.
type Store struct {
	db *sqldb.DB
}

var _ transfer.Store = (*Store)(nil)

// New returns a store in db, which must be migrated.
func New(db *sqldb.DB) *Store { return &Store{db: db} }

const columns = `id, request_id, fingerprint, origin_account_id, origin_account_number, destination_account_number, amount,
	state, failure_type, failure_message, created_at, updated_at, completed_at, lease_until, claims`

const width = 15

// values returns the values of columns, in their order.
func values(t transfer.Transfer) []any {
	return []any{
		t.ID, t.RequestID, t.Fingerprint, t.Origin.AccountID, t.Origin.AccountNumber, t.Destination, t.Amount,
		t.State, nullText(t.Failure.Type, t.Failure), nullText(t.Failure.Message, t.Failure),
		sqldb.Micros(t.CreatedAt), sqldb.Micros(t.UpdatedAt), nullTime(t.CompletedAt), nullTime(t.LeaseUntil), t.Claims,
	}
}

// nullText returns NULL if there is no failure.
func nullText(s string, f transfer.Failure) sql.NullString {
	return sql.NullString{String: s, Valid: f != transfer.Failure{}}
}

// nullTime returns NULL for the zero time.
func nullTime(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: sqldb.Micros(t), Valid: !t.IsZero()}
}

func fromNull(micros sql.NullInt64) time.Time {
	if !micros.Valid {
		return time.Time{}
	}
	return sqldb.Time(micros.Int64)
}

// scan reads columns.
func scan(row interface{ Scan(dest ...any) error }) (t transfer.Transfer, err error) {
	var failureType, failureMessage sql.NullString
	var created, updated int64
	var completed, lease sql.NullInt64
	err = row.Scan(&t.ID, &t.RequestID, &t.Fingerprint, &t.Origin.AccountID, &t.Origin.AccountNumber, &t.Destination, &t.Amount,
		&t.State, &failureType, &failureMessage, &created, &updated, &completed, &lease, &t.Claims)
	t.Failure = transfer.Failure{Type: failureType.String, Message: failureMessage.String}
	t.CreatedAt, t.UpdatedAt = sqldb.Time(created), sqldb.Time(updated)
	t.CompletedAt, t.LeaseUntil = fromNull(completed), fromNull(lease)
	return t, err
}

// collect reads rows of columns and closes them.
func collect(rows *sql.Rows, err error) ([]transfer.Transfer, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []transfer.Transfer
	for rows.Next() {
		t, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, rows.Err()
}

// Transfer implements transfer.Store.
func (s *Store) Transfer(ctx context.Context, id string) (transfer.Transfer, error) {
	t, err := scan(s.db.Read().QueryRowContext(ctx, "SELECT "+columns+" FROM transfers WHERE id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		return t, transfer.ErrNotFound
	}
	return t, sqldb.Away(err)
}

// selectList joins two index ranges, sent and received, and reads at most one page of each. No transfer is in both, since
// no account can send to itself.
const selectList = `
	SELECT ` + columns + ` FROM (
		SELECT * FROM (
			SELECT ` + columns + ` FROM transfers WHERE origin_account_id = $1 AND id < $3 ORDER BY id DESC LIMIT $4
		) AS sent
		UNION ALL
		SELECT * FROM (
			SELECT ` + columns + ` FROM transfers
			WHERE destination_account_number = $2 AND state = 'COMPLETED' AND id < $3 ORDER BY id DESC LIMIT $4
		) AS received
	) AS both_ways
	ORDER BY id DESC LIMIT $4`

// List implements transfer.Store.
func (s *Store) List(ctx context.Context, p transfer.Party, before string, limit int) ([]transfer.Transfer, error) {
	all, err := collect(s.db.Read().QueryContext(ctx, selectList, p.AccountID, p.AccountNumber, before, limit))
	return all, sqldb.Away(err)
}

// Backlog implements transfer.Store.
func (s *Store) Backlog(ctx context.Context) (map[transfer.State]transfer.Backlog, error) {
	rows, err := s.db.Read().QueryContext(ctx,
		"SELECT state, count(*), min(created_at) FROM transfers WHERE lease_until IS NOT NULL GROUP BY state")
	if err != nil {
		return nil, sqldb.Away(err)
	}
	defer rows.Close()
	backlog := map[transfer.State]transfer.Backlog{}
	for rows.Next() {
		var state transfer.State
		var b transfer.Backlog
		var created int64
		if err := rows.Scan(&state, &b.Count, &created); err != nil {
			return nil, sqldb.Away(err)
		}
		b.Oldest = sqldb.Time(created)
		backlog[state] = b
	}
	return backlog, sqldb.Away(rows.Err())
}
