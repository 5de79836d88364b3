package ratelimit

import (
	"context"
	"time"
)

// NewShared returns limits of replicas that tell each other by add.
func NewShared(rules Rules, add func(ctx context.Context, counts map[string]int64) (map[string]int64, error)) *Customers {
	c := NewLocal(rules)
	c.add = add
	return c
}

// Admit counts a request without a router.
func (c *Customers) Admit(route, customer string) time.Duration { return c.admit(route, customer) }
