package fee

import (
	"testing"
	"time"
)

// FixJitter makes all pauses predictable until the test ends.
func FixJitter(t *testing.T) {
	before := random
	random = func(n time.Duration) time.Duration { return n / 2 }
	t.Cleanup(func() { random = before })
}
