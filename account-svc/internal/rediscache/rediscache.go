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
	"github.com/sony/gobreaker/v2"

	"github.com/bankmore/bankmore/platform/dependency"
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
	// patience is how long a request waits at most for a call to Redis, whatever is wrong with it. A balance that is not in the cache takes
	// two calls before the database and one after it.
	patience = 100 * time.Millisecond
	// breakerTimeout is how long the breaker stays open after a failure: the client does not call Redis. After it one call
	// tries Redis, while the others still do without it.
	breakerTimeout = time.Second
)

var (
	up = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "bankmore_redis_up", Help: "1 while Redis answers, 0 while the service does without it, or has none.",
	})
	failures = promauto.NewCounter(prometheus.CounterOpts{
		Name: "bankmore_redis_failures_total", Help: "Calls that Redis did not answer in time, or with an error.",
	})
)

// errCallerLeft is the error of a call whose caller did not wait for the answer, which says nothing about Redis.
var errCallerLeft = errors.New("the caller left")

// Client is a connection to Redis whose calls never take long.
type Client struct {
	redis   *redis.Client
	breaker *gobreaker.CircuitBreaker[struct{}]
	prefix  string
	ttl     time.Duration
	wait    time.Duration // for one call

	mu          sync.Mutex
	lastFailure error     // of a call
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
	options.Protocol = 2 // with 3, the client looks for messages that the server pushes, before and after each command
	server := redis.NewClient(options)
	server.AddHook(dependency.RedisHook{})
	return newClient(server, config, wait), nil
}

func newClient(redis *redis.Client, config Config, wait time.Duration) *Client {
	up.Set(1)
	c := &Client{redis: redis, prefix: config.KeyPrefix, ttl: config.BalanceTTL, wait: wait}
	c.breaker = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:       breakerTimeout,
		ReadyToTrip:   func(gobreaker.Counts) bool { return true }, // the first failure opens it
		IsExcluded:    func(err error) bool { return errors.Is(err, errCallerLeft) },
		OnStateChange: c.changed,
	})
	c.missed() // the process before this one may have been killed before it told Redis of a commit
	return c
}

// Close closes the connections.
func (c *Client) Close() error { return c.redis.Close() }

// try runs call within patience. While the breaker is open it returns an error at once.
func (c *Client) try(ctx context.Context, call func(ctx context.Context) error) error {
	_, err := c.breaker.Execute(func() (struct{}, error) {
		bounded, cancel := context.WithTimeout(ctx, c.wait)
		defer cancel()
		err := call(bounded)
		switch {
		case err != nil && ctx.Err() != nil:
			err = fmt.Errorf("%w: %w", errCallerLeft, err)
		case err != nil:
			failures.Inc()
			c.mu.Lock()
			c.lastFailure = err
			c.mu.Unlock()
		}
		return struct{}{}, err
	})
	return err
}

// changed shows and logs when Redis stops answering, and when it answers again.
func (c *Client) changed(_ string, from, to gobreaker.State) {
	switch {
	case from == gobreaker.StateClosed:
		up.Set(0)
		c.mu.Lock()
		defer c.mu.Unlock()
		slog.Warn("redis does not answer; going on without it", "error", c.lastFailure)
	case to == gobreaker.StateClosed:
		up.Set(1)
		slog.Info("redis answers again")
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
