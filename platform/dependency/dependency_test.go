package dependency_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bankmore/bankmore/platform/dependency"
	"github.com/bankmore/bankmore/platform/telemetry/telemetrytest"
)

// wantMeasured checks that f makes one call more of each of these, by dependency, operation and result.
func wantMeasured(t *testing.T, f func(), calls ...[]string) {
	t.Helper()
	const name = "bankmore_dependency_duration_seconds"
	before := make([]float64, len(calls))
	for i, labels := range calls {
		before[i] = telemetrytest.Value(t, name, labels...)
	}
	f()
	for i, labels := range calls {
		if n := telemetrytest.Value(t, name, labels...) - before[i]; n != 1 {
			t.Errorf("%v: %v more, want 1", labels, n)
		}
	}
}

func TestCallsAreMeasuredByTheirResult(t *testing.T) {
	wantMeasured(t, func() {
		dependency.Observe(dependency.SQL, "transaction", time.Now(), nil)
		dependency.Observe(dependency.SQL, "transaction", time.Now(), errors.New("away"))
		dependency.Observe(dependency.SQL, "transaction", time.Now(), fmt.Errorf("the client left: %w", context.Canceled))
		dependency.Observe(dependency.Broker, "publish", time.Now(), status.Error(codes.Canceled, "the relay ends"))
	}, []string{"sql", "transaction", "ok"}, []string{"sql", "transaction", "failed"}, []string{"sql", "transaction", "canceled"},
		[]string{"broker", "publish", "canceled"})
}

func TestRedisCommandsAreMeasured(t *testing.T) {
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	client.AddHook(dependency.RedisHook{})
	wantMeasured(t, func() {
		if err := client.Get(t.Context(), "nothing").Err(); !errors.Is(err, redis.Nil) {
			t.Errorf("get: %v", err)
		}
		if err := redis.NewScript("return 1").Run(t.Context(), client, nil).Err(); err != nil { // the first time by EVALSHA, then by EVAL
			t.Errorf("script: %v", err)
		}
		if _, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error { return p.Incr(t.Context(), "n").Err() }); err != nil {
			t.Errorf("pipeline: %v", err)
		}
		server.SetError("broken")
		if client.Get(t.Context(), "nothing").Err() == nil {
			t.Error("no error")
		}
	}, []string{"redis", "get", "ok"}, []string{"redis", "evalsha", "ok"}, []string{"redis", "eval", "ok"}, []string{"redis", "pipeline", "ok"},
		[]string{"redis", "get", "failed"})
}
