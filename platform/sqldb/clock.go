package sqldb

import (
	"strconv"
	"time"
)

// Now returns an SQL expression for the time now, in microseconds since 1970, by the database's clock. All replicas share
// that clock, so they agree on which lease has ended and what is due, however wrong their own clocks are. The end of a lease or a
// claim, and a due time, come from nowhere else (docs/adr/0030).
//
// On PostgreSQL it is the time at which the transaction began, on the server. On SQLite it is a number, the time of this
// call, so call Now within the transaction.
func (db *DB) Now() string {
	if db.clock != nil {
		return literal(db.clock())
	}
	return db.engine.now()
}

// SetClock replaces the database's clock. It is for tests, which let time pass, or stand still.
func (db *DB) SetClock(clock func() time.Time) { db.clock = clock }

func literal(t time.Time) string { return strconv.FormatInt(Micros(t), 10) }

// Micros is t in microseconds since 1970, as the databases store times.
func Micros(t time.Time) int64 { return t.UnixMicro() }

// Time is the inverse of Micros, in UTC.
func Time(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
