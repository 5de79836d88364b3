package dependency

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisHook measures the commands of a Redis client, by their names, and its pipelines.
type RedisHook struct{}

// DialHook implements redis.Hook.
func (RedisHook) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (RedisHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		start := time.Now()
		err := next(ctx, cmd)
		Observe(Redis, cmd.Name(), start, failure(err))
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (RedisHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		start := time.Now()
		err := next(ctx, cmds)
		Observe(Redis, "pipeline", start, failure(err))
		return err
	}
}

// failure returns err, unless it says that there is nothing under a key, or that a script is to be sent once.
func failure(err error) error {
	if errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "NOSCRIPT") {
		return nil
	}
	return err
}
