package sqldb

import (
	"errors"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/bankmore/bankmore/platform/batch"
)

// The primary result codes of SQLite (https://www.sqlite.org/rescode.html) whose reason lies in a value.
var codesOfOne = map[int]bool{
	sqlite3.SQLITE_TOOBIG: true, sqlite3.SQLITE_CONSTRAINT: true, sqlite3.SQLITE_MISMATCH: true, sqlite3.SQLITE_RANGE: true,
}

func sqliteExtent(err error) (extent batch.Extent, ok bool) {
	var file *driver.Error
	if !errors.As(err, &file) { // the driver could not encode a value
		return batch.OneInput, true
	}
	return batch.OneInput, codesOfOne[file.Code()&0xff]
}
