// Package sqlite is the store of transfer-svc in SQLite.
package sqlite

import (
	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore/portable"
)

// Store is the portable store with SQLite's Commit.
type Store struct {
	portable.Store
	db     *sqldb.DB
	outbox outbox.Table
}

// New returns a store in db, which must be migrated.
func New(db *sqldb.DB) *Store {
	return &Store{Store: portable.New(db, skipLocked), db: db, outbox: outbox.Of(db)}
}

const skipLocked = "" // SQLite has one write transaction at a time
