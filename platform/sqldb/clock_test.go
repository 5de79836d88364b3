package sqldb_test

import (
	"database/sql"
	"testing"
	"testing/fstest"
	"time"

	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

var noTables = fstest.MapFS{
	"sqlite/00001_init.sql":   {Data: []byte("-- +goose Up\nSELECT 1;\n")},
	"postgres/00001_init.sql": {Data: []byte("-- +goose Up\nSELECT 1;\n")},
}

// Now is the present time in whole microseconds. It is a number in any statement, and a test can set it.
func TestNow(t *testing.T) { sqldbtest.Each(t, testNow) }

func testNow(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, noTables)
	before := time.Now().Add(-time.Millisecond) // a server may round
	got := now(t, db)
	if after := time.Now().Add(time.Millisecond); got.Before(before) || got.After(after) {
		t.Errorf("now is %s, want it between %s and %s", got, before, after)
	}
	if again := now(t, db); again.Before(got) {
		t.Errorf("a later transaction has the time %s, an earlier one %s", again, got)
	}
	fixed := time.Date(2001, 2, 3, 4, 5, 6, 789012000, time.UTC)
	db.SetClock(func() time.Time { return fixed })
	if got := now(t, db); !got.Equal(fixed) {
		t.Errorf("now is %s, want the time that the test has set, %s", got, fixed)
	}
}

func now(t *testing.T, db *sqldb.DB) time.Time {
	t.Helper()
	var micros int64
	err := db.InTx(t.Context(), func(tx *sql.Tx) error {
		return tx.QueryRowContext(t.Context(), "SELECT "+db.Now()+" + $1", 0).Scan(&micros)
	})
	if err != nil {
		t.Fatal(err)
	}
	return sqldb.Time(micros)
}
