package rediscache

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/go-redis/redis_rate/v10"
)

// Attempts counts attempts for all replicas together, by the generic cell rate algorithm: a burst of a minute's
// attempts, and then one at a time.
type Attempts struct {
	client  *Client
	limiter *redis_rate.Limiter
	limit   redis_rate.Limit
	key     []byte
}

// NewAttempts returns a counter. Names are hashed with the key, since they hold personal data.
func NewAttempts(client *Client, perMinute int, key []byte) *Attempts {
	return &Attempts{client: client, limiter: redis_rate.NewLimiter(client.redis), limit: redis_rate.PerMinute(perMinute), key: key}
}

// Take counts one attempt by who, and says how long to wait if it is one too many, else 0.
func (a *Attempts) Take(ctx context.Context, who string) (wait time.Duration, err error) {
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte(who))
	var result *redis_rate.Result
	err = a.client.try(ctx, func(ctx context.Context) (err error) {
		result, err = a.limiter.Allow(ctx, a.client.prefix+"attempts:"+base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), a.limit)
		return err
	})
	if err != nil || result.Allowed > 0 {
		return 0, err
	}
	return max(time.Second, result.RetryAfter), nil
}
