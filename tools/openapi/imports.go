// Package openapi pins the generators that make clients of our OpenAPI documents, and tests one of them.
package openapi

import (
	// The imports of the clients that the test makes, which this module has to require.
	_ "github.com/go-faster/errors"
	_ "github.com/go-faster/jx"
	_ "github.com/google/uuid"
	_ "github.com/ogen-go/ogen/otelogen"
	_ "go.opentelemetry.io/otel"
	_ "go.opentelemetry.io/otel/metric"
	_ "go.opentelemetry.io/otel/trace"
)
