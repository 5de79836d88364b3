// Package sqlstore keeps customers and the ledger in SQL. Each engine has a folder: PostgreSQL's way is in postgres, SQLite's
// in sqlite, and what both do alike is in portable.
package sqlstore

import (
	"context"
	"embed"
	"io"
	"io/fs"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore/postgres"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore/sqlite"
	"github.com/bankmore/bankmore/platform/sqldb"
)

//go:embed migrations
var migrations embed.FS

// Migrations returns the schema's migrations, in one folder per engine.
func Migrations() fs.FS { return sqldb.Embedded(migrations) }

// Store is everything that account-svc needs of its database.
type Store interface {
	customer.Store
	ledger.Store
	// Verify checks the ledger's invariants and writes each violation and each warning to out. It returns
	// verify.ErrViolated if there was a violation. maxUnfinished is for what a service may leave unfinished; the ledger leaves
	// nothing.
	Verify(ctx context.Context, out io.Writer, maxUnfinished time.Duration) error
}

// New returns the store of db's engine. db must be migrated.
func New(db *sqldb.DB) Store {
	switch engine := db.Engine(); engine {
	case sqldb.Postgres:
		return postgres.New(db)
	case sqldb.SQLite:
		return sqlite.New(db)
	default:
		panic("sqlstore has no folder for the engine " + engine)
	}
}
