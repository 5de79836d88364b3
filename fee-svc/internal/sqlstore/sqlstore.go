// Package sqlstore keeps fees in SQL. Each engine has a folder: PostgreSQL's way is in postgres, SQLite's in sqlite, and what
// both do alike is in portable.
package sqlstore

import (
	"context"
	"embed"
	"io"
	"io/fs"
	"time"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore/postgres"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore/sqlite"
	"github.com/bankmore/bankmore/platform/sqldb"
)

//go:embed migrations
var migrations embed.FS

// Migrations returns the schema's migrations, in one folder per engine.
func Migrations() fs.FS { return sqldb.Embedded(migrations) }

// Store is everything that fee-svc needs of its database.
type Store interface {
	fee.Store
	fee.Queue
	// Verify checks the invariants of the fees and writes each violation to out. It returns verify.ErrViolated if there was
	// one. A fee that was created more than maxUnfinished ago must be charged or waived, or wait for balance.
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
