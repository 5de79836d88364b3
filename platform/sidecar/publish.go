package sidecar

import (
	"context"
	"errors"
	"time"

	dapr "github.com/dapr/go-sdk/client"

	"github.com/bankmore/bankmore/platform/dependency"
)

// Event is one message for a topic.
type Event struct {
	ID           string // of the CloudEvent; the same on every attempt, so that consumers can tell a repetition
	Type         string // of the CloudEvent
	PartitionKey string // events with the same key stay in order
	Data         []byte // JSON
	TraceParent  string // of the span that the event is part of; "" leaves that to the sidecar
}

// Publish sends events to a topic in one call and returns the ids of those that the broker has not confirmed. The broker may
// have delivered them all the same.
func (c *Client) Publish(ctx context.Context, pubsub, topic string, events []Event) (failed map[string]bool, err error) {
	entries := make([]any, len(events))
	for i, e := range events {
		metadata := map[string]string{
			"partitionKey":    e.PartitionKey,
			"cloudevent.id":   e.ID,
			"cloudevent.type": e.Type,
		}
		if e.TraceParent != "" {
			metadata["cloudevent.traceparent"] = e.TraceParent
		}
		entries[i] = dapr.PublishEventsEvent{EntryID: e.ID, Data: e.Data, ContentType: "application/json", Metadata: metadata}
	}
	start := time.Now()
	resp := c.sdk.PublishEvents(ctx, pubsub, topic, entries)
	dependency.Observe(dependency.Broker, "publish "+topic, start, resp.Error)
	failed = make(map[string]bool, len(resp.FailedEvents))
	for _, f := range resp.FailedEvents {
		entry, ok := f.(dapr.PublishEventsEvent)
		if !ok { // the SDK could not tell which entry failed: none counts as sent
			for _, e := range events {
				failed[e.ID] = true
			}
			break
		}
		failed[entry.EntryID] = true
	}
	if resp.Error == nil && len(failed) > 0 {
		resp.Error = errors.New("publish: entries failed")
	}
	if resp.Error != nil && len(failed) == 0 {
		for _, e := range events {
			failed[e.ID] = true
		}
	}
	return failed, resp.Error
}

// PublishRaw sends data to a topic unchanged, without a new CloudEvents envelope. It is for dead letters: they have an
// envelope already, or never had one.
func (c *Client) PublishRaw(ctx context.Context, pubsub, topic string, data []byte) error {
	start := time.Now()
	err := c.sdk.PublishEvent(ctx, pubsub, topic, data,
		dapr.PublishEventWithRawPayload(), dapr.PublishEventWithContentType("application/octet-stream"))
	dependency.Observe(dependency.Broker, "publish "+topic, start, err)
	return err
}
