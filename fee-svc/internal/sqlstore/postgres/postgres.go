// Package postgres is the store of fee-svc in PostgreSQL.
package postgres

import (
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore/portable"
	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// Store is the portable store with PostgreSQL's Add and Settle.
type Store struct {
	portable.Store
	db     *sqldb.DB
	outbox outbox.Table
}

// New returns a store in db, which must be migrated.
func New(db *sqldb.DB) *Store {
	return &Store{Store: portable.New(db, dialect), db: db, outbox: outbox.Of(db)}
}

var dialect = portable.Dialect{
	SkipLocked: " FOR UPDATE SKIP LOCKED",
	SelectOwed: selectOwed,
	List:       func(texts []string) (any, error) { return texts, nil },
}

const selectOwed = "SELECT " + portable.ReturnedColumns + `, fees.attempt, fees.unknowns
	FROM unnest($1::text[]) AS debtor (number) CROSS JOIN LATERAL (
		SELECT * FROM fees WHERE account_number = debtor.number AND ` + portable.Owing + ` ORDER BY id LIMIT $2) AS fees
	ORDER BY fees.id`
