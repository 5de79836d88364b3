// Package sqlstore keeps fees in SQL.
package sqlstore

import (
	"embed"
	"io/fs"

	"github.com/bankmore/bankmore/platform/sqldb"
)

//go:embed migrations
var migrations embed.FS

// Migrations returns the schema's migrations, in one folder per engine.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}

// maxRows bounds the rows of one statement; sqldb.Rows says why.
const maxRows = 50

// Store implements fee.Store and fee.Queue.
type Store struct {
	db *sqldb.DB
}

// New returns a store in db, which must be migrated.
func New(db *sqldb.DB) *Store { return &Store{db: db} }
