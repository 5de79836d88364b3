// Package rediscache shares balances and counts of login attempts among replicas, through Redis. Nothing depends on them:
// Redis may be slow, unreachable, empty or full at any time. See docs/adr/0009-balance-cache.md.
package rediscache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/redis/go-redis/v9"
)

// Config says where Redis is. Without a URL there is none.
type Config struct {
	URL        string        `env:"REDIS_URL"`                               // redis:// or, with TLS, rediss://
	KeyPrefix  string        `env:"REDIS_KEY_PREFIX" envDefault:"bankmore:"` // other systems may share the server
	BalanceTTL time.Duration `env:"BALANCE_CACHE_TTL" envDefault:"10s"`      // how old a balance may be at most
}

// Validate returns an error for a value out of range.
func (c Config) Validate() error {
	if c.BalanceTTL < time.Second || c.BalanceTTL > time.Hour {
		return fmt.Errorf("BALANCE_CACHE_TTL is %s: want 1s to 1h", c.BalanceTTL)
	}
	return nil
}

const (
	// patience is how long a request waits for Redis at most, whatever is wrong with it.
	patience = 100 * time.Millisecond
	// rest is how long the client does not call Redis after a failure. Until Redis answers, one call then tries it at a time,
	// with a rest in between.
	rest = time.Second
)

var (
	up = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "redis_up", Help: "1 while Redis answers, 0 while the service does without it.",
	})
	failures = promauto.NewCounter(prometheus.CounterOpts{
		Name: "redis_failures_total", Help: "Calls that Redis did not answer in time, or with an error.",
	})
)

var errResting = errors.New("redis is left alone after a failure")

// Client is a connection to Redis whose calls never take long.
type Client struct {
	redis  *redis.Client
	prefix string
	ttl    time.Duration
	wait   time.Duration // for one call

	mu          sync.Mutex
	away        bool
	restUntil   time.Time // no calls before
	trustedFrom time.Time // no reads before: see missed
}

// Open makes a client. It does not wait for Redis to answer.
func Open(config Config) (*Client, error) { return open(config, patience) }

func open(config Config, wait time.Duration) (*Client, error) {
	options, err := redis.ParseURL(config.URL)
	if err != nil {
		return nil, errors.New("REDIS_URL: not a redis:// or rediss:// URL") // the cause would repeat the password
	}
	options.DialTimeout = 5 * wait // a call does not wait for a dial, which goes on in the background
	options.ReadTimeout, options.WriteTimeout, options.PoolTimeout = wait, wait, wait
	options.ContextTimeoutEnabled = true
	options.MaxRetries = -1 // none: every caller can do without Redis
	options.MinIdleConns = 2
	up.Set(1)
	c := &Client{redis: redis.NewClient(options), prefix: config.KeyPrefix, ttl: config.BalanceTTL, wait: wait}
	c.missed() // the process before this one may have been killed before it told Redis of a commit
	return c, nil
}

// Close closes the connections.
func (c *Client) Close() error { return c.redis.Close() }

// try runs call within patience, or returns errResting while the client must not call Redis.
func (c *Client) try(ctx context.Context, call func(ctx context.Context) error) error {
	if c.resting() {
		return errResting
	}
	bounded, cancel := context.WithTimeout(ctx, c.wait)
	defer cancel()
	err := call(bounded)
	if err != nil && ctx.Err() != nil {
		return err // the caller has gone, which says nothing about Redis
	}
	c.note(ctx, err)
	return err
}

// resting reports whether the caller must not call Redis. While Redis fails, one caller may try it after each rest.
func (c *Client) resting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Before(c.restUntil) {
		return true
	}
	if c.away {
		c.restUntil = now.Add(rest)
	}
	return false
}

// note records whether a call succeeded, and logs a change.
func (c *Client) note(ctx context.Context, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.away
	c.away = err != nil
	c.restUntil = time.Time{}
	if c.away {
		failures.Inc()
		c.restUntil = time.Now().Add(rest)
	}
	switch {
	case c.away && !was:
		up.Set(0)
		slog.WarnContext(ctx, "redis does not answer; going on without it", "error", err)
	case was && !c.away:
		up.Set(1)
		slog.InfoContext(ctx, "redis answers again")
	}
}

// missed notes that Redis was not told of a commit. An entry in Redis may now be out of date, so the client reads no entry
// until all present ones have expired.
func (c *Client) missed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trustedFrom = time.Now().Add(c.ttl)
}

func (c *Client) trusted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !time.Now().Before(c.trustedFrom)
}
