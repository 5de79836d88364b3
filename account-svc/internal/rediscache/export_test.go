package rediscache

import (
	"context"
	"time"
)

// OpenPatient is Open with a long timeout, so that Redis answers in time on a slow machine.
func OpenPatient(config Config) (*Client, error) { return open(config, 20*time.Second) }

// OpenNothing returns a client without a server, whose calls only Try makes.
func OpenNothing() *Client { return newClient(nil, Config{}, patience) }

// Try makes a call as the client's own methods do.
func (c *Client) Try(ctx context.Context, call func(ctx context.Context) error) error {
	return c.try(ctx, call)
}

// Trust lets the client read entries at once.
func (c *Client) Trust() { c.trustedFrom = time.Time{} }

// Fill lets a test run the script by which a reader fills the cache.
var Fill = fill
