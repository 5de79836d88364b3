// Package sqlite is the store of fee-svc in SQLite.
package sqlite

import (
	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore/portable"
	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// Store is the portable store with SQLite's Add and Settle.
type Store struct {
	portable.Store
	db     *sqldb.DB
	outbox outbox.Table
}

// New returns a store in db, which must be migrated.
func New(db *sqldb.DB) *Store {
	return &Store{Store: portable.New(db, dialect), db: db, outbox: outbox.Of(db)}
}

// dialect locks no rows: SQLite has one write transaction at a time.
var dialect = portable.Dialect{SelectOwed: selectOwed, List: list}

const selectOwed = "SELECT " + portable.ReturnedColumns + `, fees.attempt, fees.unknowns
	FROM (SELECT value AS number FROM json_each($1)) AS debtor JOIN fees ON fees.id IN (
		SELECT id FROM fees AS own WHERE own.account_number = debtor.number AND ` + portable.Owing + ` ORDER BY own.id LIMIT $2)
	ORDER BY fees.id`

// list returns texts as one parameter for json_each.
func list(texts []string) (any, error) {
	text, err := json.Marshal(texts)
	return string(text), err
}
