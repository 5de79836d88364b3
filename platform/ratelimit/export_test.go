package ratelimit

import "context"

// NewShared returns limits of replicas that tell each other by add.
func NewShared(rules Rules, add func(ctx context.Context, counts map[string]int64) (map[string]int64, error)) *Customers {
	c := NewLocal(rules)
	c.add = add
	return c
}
