// Package sqlite is the store of account-svc in SQLite.
package sqlite

import (
	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/account-svc/internal/sqlstore/portable"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// Store is the portable store with SQLite's Apply.
type Store struct {
	portable.Store
	db *sqldb.DB
}

// New returns a store in db, which must be migrated.
func New(db *sqldb.DB) *Store { return &Store{Store: portable.New(db, lists), db: db} }

// lists are texts in JSON.
var lists = portable.Lists{
	Contains: "IN (SELECT value FROM json_each($1))",
	Parameter: func(texts []string) (any, error) {
		text, err := json.Marshal(texts)
		return string(text), err
	},
}
