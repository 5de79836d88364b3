// Package portable is what the stores of all SQL engines do alike. The store of each engine embeds its Store and adds
// fee.Store's Add and fee.Queue's Settle.
package portable

import "github.com/bankmore/bankmore/platform/sqldb"

// Store implements fee.Store but for Add, and fee.Queue but for Settle.
type Store struct {
	db      *sqldb.DB
	dialect Dialect
}

// Dialect is what the engines write differently in statements that are alike otherwise.
type Dialect struct {
	// SkipLocked ends a query for rows to be claimed: it passes over rows that another transaction is claiming, where there
	// can be another.
	SkipLocked string
	// SelectOwed returns ReturnedColumns, the attempt and the unknown answers of at most $2 owed fees of each account in the
	// list $1, the oldest first.
	SelectOwed string
	// List turns texts into the value of a parameter.
	List func(texts []string) (any, error)
}

// New returns a store in db, which must be migrated.
func New(db *sqldb.DB, dialect Dialect) Store { return Store{db: db, dialect: dialect} }
