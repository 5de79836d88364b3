package main

import (
	"testing"

	"github.com/bankmore/bankmore/platform/telemetry/telemetrytest"
)

func TestMetricsAreDocumented(t *testing.T) {
	telemetrytest.Documented(t, "../docs/metrics.md", "fee-svc")
}
