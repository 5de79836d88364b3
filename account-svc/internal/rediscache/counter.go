package rediscache

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/go-redis/redis_rate/v10"
)

// Counter counts for all replicas together, by the generic cell rate algorithm: it admits each name count times at once, and
// then once every per/count.
type Counter struct {
	client  *Client
	limiter *redis_rate.Limiter
	key     []byte
}

// NewCounter returns a counter. Names are hashed with the key, since they hold personal data.
func NewCounter(client *Client, key []byte) *Counter {
	return &Counter{client: client, limiter: redis_rate.NewLimiter(client.redis), key: key}
}

// Take counts name once. It returns 0 if the limit admits that, and otherwise how long to wait.
func (c *Counter) Take(ctx context.Context, name string, count int, per time.Duration) (wait time.Duration, err error) {
	result, err := c.ask(ctx, name, count, per, 1)
	if err != nil || result.Allowed > 0 {
		return 0, err
	}
	return max(1, result.RetryAfter), nil
}

// Peek is Take without counting.
func (c *Counter) Peek(ctx context.Context, name string, count int, per time.Duration) (wait time.Duration, err error) {
	result, err := c.ask(ctx, name, count, per, 0)
	if err != nil || result.Remaining > 0 {
		return 0, err
	}
	left := per - per/time.Duration(count) // of ResetAfter, when the limit admits one more
	return max(1, result.ResetAfter-left), nil
}

func (c *Counter) ask(ctx context.Context, name string, count int, per time.Duration, n int) (result *redis_rate.Result, err error) {
	mac := hmac.New(sha256.New, c.key)
	mac.Write([]byte(name))
	key := c.client.prefix + "attempts:" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	err = c.client.try(ctx, func(ctx context.Context) (err error) {
		result, err = c.limiter.AllowN(ctx, key, redis_rate.Limit{Rate: count, Burst: count, Period: per}, n)
		return err
	})
	return result, err
}
