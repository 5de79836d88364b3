// Package postgres is the store of account-svc in PostgreSQL.
package postgres

import (
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore/portable"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// Store is the portable store with PostgreSQL's Apply.
type Store struct {
	portable.Store
	db *sqldb.DB
}

// New returns a store in db, which must be migrated.
func New(db *sqldb.DB) *Store { return &Store{Store: portable.New(db, lists), db: db} }

// lists are arrays of texts.
var lists = portable.Lists{
	Contains:  "= ANY($1)",
	Parameter: func(texts []string) (any, error) { return texts, nil },
}
