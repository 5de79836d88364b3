// Package broker connects the operator's commands to Kafka, and reads whole topics.
package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// patience is how long a command waits for an answer of the broker.
const patience = 15 * time.Second

// localBroker is the address of the broker of `make run`.
const localBroker = "127.0.0.1:9092"

// Connect returns a client for the broker that the environment names. It reads the same variables as the sidecars:
// KAFKA_BOOTSTRAP_SERVERS (default: the broker of `make run`), KAFKA_USERNAME and KAFKA_PASSWORD. With user and password it
// uses SCRAM-SHA-512, over TLS unless KAFKA_DISABLE_TLS is true; else neither authentication nor TLS. A write succeeds once
// all in-sync replicas have confirmed it.
func Connect(more ...kgo.Opt) (*kgo.Client, error) {
	brokers, user, password := os.Getenv("KAFKA_BOOTSTRAP_SERVERS"), os.Getenv("KAFKA_USERNAME"), os.Getenv("KAFKA_PASSWORD")
	if brokers == "" {
		brokers = localBroker
	}
	options := append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RetryTimeout(patience),
		kgo.RecordDeliveryTimeout(patience),
	}, more...)
	switch {
	case (user == "") != (password == ""):
		return nil, errors.New("KAFKA_USERNAME and KAFKA_PASSWORD: both or none")
	case user != "":
		options = append(options, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha512Mechanism()))
		if os.Getenv("KAFKA_DISABLE_TLS") != "true" {
			options = append(options, kgo.DialTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12}))
		}
	}
	return kgo.NewClient(options...)
}

// Scan calls each with every record that the topic holds now: one partition after the other, in the order of the offsets.
func Scan(ctx context.Context, client *kgo.Client, topic string, each func(*kgo.Record) error) error {
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", topic, err)
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", topic, err)
	}
	for partition := range int32(len(ends[topic])) { //nolint:gosec // no topic has that many
		start, _ := starts.Lookup(topic, partition)
		end, ok := ends.Lookup(topic, partition)
		if !ok || start.Offset >= end.Offset {
			continue
		}
		if err := scanPartition(ctx, client, topic, partition, start.Offset, end.Offset, each); err != nil {
			return err
		}
	}
	return nil
}

func scanPartition(ctx context.Context, client *kgo.Client, topic string, partition int32, start, end int64, each func(*kgo.Record) error) error {
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(start)}})
	defer client.RemoveConsumePartitions(map[string][]int32{topic: {partition}})
	for {
		pollCtx, cancel := context.WithTimeout(ctx, patience)
		fetches := client.PollFetches(pollCtx)
		silent := pollCtx.Err() != nil && ctx.Err() == nil
		cancel()
		if silent {
			return fmt.Errorf("%s: the broker has sent nothing of partition %d for %s", topic, partition, patience)
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%s: %w", topic, err)
		}
		for _, r := range fetches.Records() {
			if r.Offset >= end {
				return nil
			}
			if err := each(r); err != nil {
				return err
			}
			if r.Offset == end-1 {
				return nil
			}
		}
	}
}

// ErrInUse says that a consumer group has members.
var ErrInUse = errors.New("its consumer group has members")

// SkipToEnd moves the offsets of a consumer group to the present end of each partition of a topic, and returns how many
// records the group skips. It returns ErrInUse if a member of the group runs.
func SkipToEnd(ctx context.Context, client *kgo.Client, group, topic string) (skipped int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	admin := kadm.NewClient(client)
	described, err := admin.DescribeGroups(ctx, group)
	if err == nil {
		err = described.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // nobody has ever consumed
		return 0, fmt.Errorf("group %s: %w", group, err)
	}
	if n := len(described[group].Members); n > 0 {
		return 0, fmt.Errorf("group %s: %w: %d", group, ErrInUse, n)
	}
	before, err := admin.FetchOffsetsForTopics(ctx, group, topic)
	if err == nil {
		err = before.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return 0, fmt.Errorf("group %s: %w", group, err)
	}
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", topic, err)
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", topic, err)
	}
	ends.Each(func(end kadm.ListedOffset) {
		at := int64(0)
		if start, ok := starts.Lookup(topic, end.Partition); ok {
			at = start.Offset
		}
		if offset, ok := before.Lookup(topic, end.Partition); ok {
			at = max(at, offset.At)
		}
		skipped += end.Offset - at
	})
	if err := admin.CommitAllOffsets(ctx, group, ends.Offsets()); err != nil {
		return 0, fmt.Errorf("group %s: %w", group, err)
	}
	return skipped, nil
}
