package client

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// Page is a part of a list, with the cursor of the next ("" on the last).
type Page[T any] struct {
	Items []T
	Next  string
}

// Query chooses a part of a list. Zero values leave the choice to the server.
type Query struct {
	Cursor   string // Next of the page before
	Limit    int    // 1 to 100
	From, To string // of a statement only: an instant in RFC 3339, or a day like 2026-11-22
}

// given returns nil for a zero value, which is not sent.
func given[T comparable](value T) *T {
	if value == *new(T) {
		return nil
	}
	return &value
}

// All reads a list to its end, limit items at a time, as fast as the server allows: see Unhurried.
func All[T any](ctx context.Context, limit int, list func(context.Context, Query) (Page[T], error)) ([]T, error) {
	list = Unhurried(list)
	var all []T
	for query := (Query{Limit: limit}); ; {
		page, err := list(ctx, query)
		if err != nil {
			return all, err
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all, nil
		}
		query.Cursor = page.Next
	}
}

// maxWaits is how often Unhurried waits for one page, and longestWait for how long each time.
const (
	maxWaits    = 5
	longestWait = 10 * time.Second
)

// Unhurried returns a list that waits when the server answers 429, as long as Retry-After says, and then asks for the same page again.
// After 5 times, or if it would have to wait for more than 10 s, it returns the Failure.
func Unhurried[T any](list func(context.Context, Query) (Page[T], error)) func(context.Context, Query) (Page[T], error) {
	return func(ctx context.Context, query Query) (Page[T], error) {
		for waits := 0; ; waits++ {
			page, err := list(ctx, query)
			var failure *Failure
			if waits == maxWaits || !errors.As(err, &failure) || failure.Status != http.StatusTooManyRequests {
				return page, err
			}
			seconds, problem := strconv.Atoi(failure.Header.Get("Retry-After"))
			wait := time.Duration(seconds) * time.Second
			if problem != nil || wait < 0 || wait > longestWait {
				return page, err
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return page, errors.Join(ctx.Err(), err)
			}
		}
	}
}
