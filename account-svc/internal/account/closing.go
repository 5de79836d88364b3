package account

import "time"

// Closing says when an account was closed. Closings are ordered by time, and those of the same time by the account's id.
type Closing struct {
	AccountID string
	At        time.Time // exact to the microsecond
}
