package sqldb

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// A transaction that failed for a passing reason is tried up to five times, with pauses that grow. One that failed for good,
// or whose commit got no answer, is tried once.
func TestRetry(t *testing.T) {
	for name, test := range map[string]struct {
		before, commit error
		failures       int // then the attempts succeed
		attempts       int
		least, most    time.Duration
	}{
		"success":              {attempts: 1},
		"a deadlock":           {before: state("40P01"), failures: 2, attempts: 3, least: 20 * time.Millisecond, most: 40 * time.Millisecond},
		"a deadlock each time": {before: state("40P01"), failures: 9, attempts: 5, least: 100 * time.Millisecond, most: 200 * time.Millisecond},
		"a commit rolled back": {commit: state("40001"), failures: 1, attempts: 2, least: 6 * time.Millisecond, most: 14 * time.Millisecond},
		"a commit unanswered":  {commit: io.ErrUnexpectedEOF, failures: 9, attempts: 1},
		"a constraint":         {before: state("23514"), failures: 9, attempts: 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			began, attempts := time.Now(), 0
			err := (&DB{engine: postgres}).retry(t.Context(), func() (error, error) {
				if attempts++; attempts > test.failures {
					return nil, nil
				}
				return test.before, test.commit
			})
			if attempts != test.attempts || (err != nil) != (test.failures >= attempts) {
				t.Errorf("%s: %d attempts, want %d; %v", name, attempts, test.attempts, err)
			}
			if took := time.Since(began); took < test.least || took > test.most {
				t.Errorf("%s: took %s, want %s to %s", name, took, test.least, test.most)
			}
		})
	}
}

// If the caller's context ends during a pause, no attempt follows. The error is the last attempt's.
func TestRetryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		attempts := 0
		deadlock := state("40P01")
		err := (&DB{engine: postgres}).retry(ctx, func() (error, error) { attempts++; return deadlock, nil })
		if attempts != 1 || !errors.Is(err, deadlock) {
			t.Errorf("%d attempts, %v", attempts, err)
		}
	})
}
