package sidecar

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"go.opentelemetry.io/otel/propagation"

	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/dependency"
	"github.com/bankmore/bankmore/platform/telemetry"
)

// maxAnswerBytes bounds what an invoked app may answer; it is daprd's own default limit.
const maxAnswerBytes = 4 << 20

// refused is an error that the invoked app itself has answered. If the call carried several inputs, one of them may be the
// reason.
type refused struct{ error }

// Extent tells package batch that one input may be the reason.
func (refused) Extent() batch.Extent { return batch.OneInput }

// Invoke posts in to path of another app and fills out from its 200 answer. Any error, whatever its cause, means that
// the outcome is unknown: the app may have run (a sidecar answers 500 also when the app's answer was lost, and may
// itself deliver a request twice). The only sound reaction is to repeat the call with the same keys. path holds no id: it names the
// operation in the metrics.
func (c *Client) Invoke(ctx context.Context, appID, path string, in, out any) (err error) {
	start := time.Now()
	defer func() { dependency.Observe(appID, path, start, err) }()
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("invoking %s%s: %w", appID, path, err)
	}
	// The length of the body is known, since the sidecar does not retry a call with a chunked body.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("invoking %s%s: %w", appID, path, err)
	}
	req.Header.Set("dapr-app-id", appID)
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set(apiTokenHeader, c.token)
	}
	if id := telemetry.RequestID(ctx); id != "" {
		req.Header.Set(telemetry.RequestIDHeader, id)
	}
	telemetry.Propagator.Inject(ctx, propagation.HeaderCarrier(req.Header))

	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("invoking %s%s: %w", appID, path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	if err != nil {
		return fmt.Errorf("invoking %s%s: reading the answer: %w", appID, path, err)
	}
	if resp.StatusCode != http.StatusOK {
		err := fmt.Errorf("invoking %s%s: status %d: %.300s", appID, path, resp.StatusCode, answer)
		if resp.Header.Get(telemetry.RequestIDHeader) != "" && resp.StatusCode != http.StatusServiceUnavailable {
			return refused{err}
		}
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("invoking %s%s: %w", appID, path, err)
	}
	return nil
}
