package account

import "time"

// Closing is when an account was closed. Closings are in order by time, and at the same time by the account's id.
type Closing struct {
	AccountID string
	At        time.Time // exact to the microsecond
}
