package bank

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/bankmore/bankmore/e2e/stack"
)

// The topics of the services.
const (
	CompletedTopic  = stack.CompletedTopic
	DeadLetterTopic = stack.DeadLetterTopic
	ChargesTopic    = stack.ChargesTopic
)

// Kafka is a client of the broker, until the test ends.
func (b *Bank) Kafka(t *testing.T, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(options, b.KafkaOptions()...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Records reads a topic from its beginning until done says that it has seen enough.
func (b *Bank) Records(t *testing.T, topic string, done func([]*kgo.Record) bool) []*kgo.Record {
	t.Helper()
	c := b.Kafka(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var all []*kgo.Record
	for !done(all) {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%s: only %d records, and not what was expected among them", topic, len(all))
		}
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

// Mentions finds a record that holds text.
func Mentions(all []*kgo.Record, text string) *kgo.Record {
	i := slices.IndexFunc(all, func(r *kgo.Record) bool { return strings.Contains(string(r.Value), text) })
	if i < 0 {
		return nil
	}
	return all[i]
}
