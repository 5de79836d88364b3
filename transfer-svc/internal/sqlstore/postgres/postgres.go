// Package postgres is the store of transfer-svc in PostgreSQL.
package postgres

import (
	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore/portable"
)

// Store is the portable store with PostgreSQL's Commit.
type Store struct {
	portable.Store
	db     *sqldb.DB
	outbox outbox.Table
}

// New returns a store in db, which must be migrated.
func New(db *sqldb.DB) *Store {
	return &Store{Store: portable.New(db, skipLocked), db: db, outbox: outbox.Of(db)}
}

const skipLocked = " FOR UPDATE SKIP LOCKED"
