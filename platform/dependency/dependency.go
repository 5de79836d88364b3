// Package dependency measures what a service asks of others: rate, errors and duration of the calls to its database, its sidecar
// and Redis.
package dependency

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The dependencies, besides the apps that are invoked, whose app-ids name them.
const (
	SQL        = "sql"
	Redis      = "redis"
	StateStore = "state store" // through the sidecar
	Broker     = "broker"      // through the sidecar
)

var seconds = promauto.NewHistogramVec(prometheus.HistogramOpts{
	Name: "bankmore_dependency_duration_seconds",
	Help: "Time of a call to a dependency (sql, redis, state store, broker, or the app that was invoked), by operation and result (ok, failed, canceled).",
	// From a cached read to the timeout of a flight.
	Buckets: []float64{.001, .0025, .005, .01, .025, .1, .5, 5},
}, []string{"dependency", "operation", "result"})

// Observe measures a call that began at start and ended now. operation is one of a few: never a key, an id or a statement.
// A caller that no longer wants the answer cancels a call, which says nothing about the dependency.
func Observe(dependency, operation string, start time.Time, err error) {
	result := "ok"
	switch {
	case errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled:
		result = "canceled"
	case err != nil:
		result = "failed"
	}
	seconds.WithLabelValues(dependency, operation, result).Observe(time.Since(start).Seconds())
}
