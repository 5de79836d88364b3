// Package portable is what the stores of all SQL engines do alike. The store of each engine embeds its Store and adds
// ledger.Store's Apply.
package portable

import (
	"database/sql"

	"github.com/bankmore/bankmore/platform/sqldb"
)

// Store implements customer.Store, and ledger.Store but for Apply.
type Store struct {
	db    *sqldb.DB
	lists Lists
}

// Lists is how an engine takes a list of texts as one parameter.
type Lists struct {
	// Contains is the condition that a column's value is in the list $1.
	Contains string
	// Parameter turns the list into the value of $1.
	Parameter func(texts []string) (any, error)
}

// New returns a store in db, which must be migrated.
func New(db *sqldb.DB, lists Lists) Store { return Store{db: db, lists: lists} }

// Affected returns how many rows a statement has changed.
func Affected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
