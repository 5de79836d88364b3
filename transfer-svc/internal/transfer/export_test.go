package transfer

import (
	"testing"
	"time"
)

// FixJitter makes all pauses predictable until the test ends. They are no whole milliseconds, so that none ends at the
// same moment as anything else.
func FixJitter(t *testing.T) {
	before := random
	random = func(n time.Duration) time.Duration { return n * 2 / 3 }
	t.Cleanup(func() { random = before })
}
