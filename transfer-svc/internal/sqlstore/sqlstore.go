// Package sqlstore keeps transfers and their events in SQL. Each engine has a folder: PostgreSQL's way is in postgres, SQLite's
// in sqlite, and what both do alike is in portable.
package sqlstore

import (
	"context"
	"embed"
	"io"
	"io/fs"
	"time"

	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore/postgres"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore/sqlite"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

//go:embed migrations
var migrations embed.FS

// Migrations returns the schema's migrations, in one folder per engine.
func Migrations() fs.FS { return sqldb.Embedded(migrations) }

// Store is everything that transfer-svc needs of its database.
type Store interface {
	transfer.Store
	// Verify checks the invariants of transfers and their events, and writes each violation to out. It returns
	// verify.ErrViolated if there was one. A transfer that was created more than maxUnfinished ago must be final, and so must
	// one that was created as much later than now, since the database's clock has gone back.
	Verify(ctx context.Context, out io.Writer, maxUnfinished time.Duration) error
	// Republish adds the events of all transfers that were completed at since or later to the outbox again, but for those
	// that wait there already. It returns how many it has added. It reads the transfers through looking, which must be
	// opened by sqldb.OpenReadOnly.
	Republish(ctx context.Context, looking *sqldb.DB, since time.Time) (added int, err error)
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
