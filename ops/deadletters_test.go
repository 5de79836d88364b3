package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/bankmore/bankmore/ops/internal/deadletter"
)

const partitions = 4

// startBroker starts an empty broker for the duration of a test, and names it in the environment.
func startBroker(t *testing.T) *kfake.Cluster {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, deadletter.Topic, deadletter.Target))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	t.Setenv("KAFKA_BOOTSTRAP_SERVERS", strings.Join(cluster.ListenAddrs(), ","))
	for _, name := range []string{"KAFKA_USERNAME", "KAFKA_PASSWORD", "KAFKA_DISABLE_TLS"} {
		t.Setenv(name, "") // it may name a real server, for which other suites run
	}
	return cluster
}

func dial(t *testing.T, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := deadletter.Connect()
	if err != nil {
		t.Fatal(err)
	}
	options = append(client.Opts(), options...)
	client.Close()
	if client, err = kgo.NewClient(options...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// bury puts values into the dead-letter topic, as fee-svc does, and returns their positions.
func bury(t *testing.T, partition int32, values ...string) (positions []string) {
	t.Helper()
	client := dial(t)
	for _, value := range values {
		r := client.ProduceSync(t.Context(), &kgo.Record{Topic: deadletter.Topic, Partition: partition, Value: []byte(value)})
		if err := r.FirstErr(); err != nil {
			t.Fatal(err)
		}
		positions = append(positions, fmt.Sprintf("%d:%d", partition, r[0].Record.Offset))
	}
	return positions
}

// target returns the records that were put back.
func target(t *testing.T) []*kgo.Record {
	t.Helper()
	client := dial(t, kgo.ConsumeTopics(deadletter.Target), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), deadletter.Target)
	if err != nil {
		t.Fatal(err)
	}
	want := int64(0)
	ends.Each(func(o kadm.ListedOffset) { want += o.Offset })
	var all []*kgo.Record
	for int64(len(all)) < want {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

func event(id, account string) string {
	return fmt.Sprintf(`{"id":%q,"source":"s","specversion":"1.0","type":"t","data":{"id":"0190f3a1-7b00-7000-8000-000000000001",`+
		`"origin_account_number":%q,"amount":"150.00","completed_at":"2026-01-02T03:04:05Z"}}`, id, account)
}

// ops runs a command line and returns its output.
func ops(t *testing.T, wantCode int, line string) string {
	t.Helper()
	var out, problems bytes.Buffer
	if code := run(t.Context(), &out, &problems, strings.Fields(line)); code != wantCode {
		t.Errorf("ops %s: %d, want %d\n%s%s", line, code, wantCode, &out, &problems)
	}
	return out.String() + problems.String()
}

func wantLines(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !strings.Contains(got, line) {
			t.Errorf("%q is missing in\n%s", line, got)
		}
	}
}

func TestDeadLetterUsage(t *testing.T) {
	for _, line := range []string{"look", "replay", "replay -x all", "replay 7", "replay all 0:7", "replay 0:7 x:1", "replay 0:-1", "replay -1:1"} {
		wantLines(t, ops(t, 2, "dead-letters "+line), "sage")
	}
}

func TestListDeadLetters(t *testing.T) {
	startBroker(t)
	wantLines(t, ops(t, 0, "dead-letters"), "0 dead letters, 0 put back\n")
	bury(t, 0, "no JSON", `{"id":"e1"}`, "")
	bury(t, 3, event("e2", "18"), strings.Replace(event("e3", "18"), "150.00", "-1", 1), "\xff"+strings.Repeat("x", 10000))
	wantLines(t, ops(t, 0, "dead-letters"),
		`0:0  20`, `  7 bytes, id "", "not a CloudEvent`,
		`0:1  20`, `  11 bytes, id "e1", "not a CloudEvent 1.0: specversion, id, source or type is missing"`,
		`0:2  20`, `  0 bytes, id "", "not a CloudEvent`,
		`3:0  20`, ` bytes, id "e2", "can be understood"`,
		`3:1  20`, ` bytes, id "e3", "data: INVALID_VALUE`,
		`3:2  20`, `  10001 bytes`,
		"6 dead letters, 0 put back\n")
}

// replay puts the same bytes back, with the key and the partition of a good event of the account. It does so once, unless the
// operator says -again.
func TestReplay(t *testing.T) {
	startBroker(t)
	good := []string{event("e1", "18"), event("e2", "7907027952"), event("e3", "18")}
	bad := []string{"no JSON", strings.Replace(event("e4", "18"), "150.00", "-1", 1)}
	bury(t, 1, good[0], bad[0], good[1])
	bury(t, 2, bad[1], good[2])

	wantLines(t, ops(t, 0, "dead-letters replay 1:2"), "1:2 put back\n1 put back, 0 had been before, 0 cannot be understood and stay\n")
	wantLines(t, ops(t, 0, "dead-letters replay 1:2"), "0 put back, 1 had been before")
	wantLines(t, ops(t, 0, "dead-letters replay all"), "1:0 put back\n2:1 put back\n2 put back, 1 had been before, 2 cannot be understood and stay\n")
	wantLines(t, ops(t, 0, "dead-letters replay all"), "0 put back, 3 had been before, 2 cannot be understood and stay\n")
	wantTarget(t, good...)
	wantLines(t, ops(t, 0, "dead-letters"), `id "e1", put back 20`, "5 dead letters, 3 put back\n")

	wantLines(t, ops(t, 0, "dead-letters replay 1:1 2:0"), "2 put back, 0 had been before") // by position: also letters that cannot be understood
	wantLines(t, ops(t, 0, "dead-letters replay -again 1:0"), "1 put back, 0 had been before")
	wantTarget(t, append(append(good, bad...), good[0])...)

	wantLines(t, ops(t, 1, "dead-letters replay 1:0 0:99"), "there is no dead letter at 0:99")
	wantLines(t, ops(t, 1, "dead-letters replay 1:3"), "there is no dead letter at 1:3") // which is a note
}

// wantTarget checks which records were put back, in any order.
func wantTarget(t *testing.T, values ...string) {
	t.Helper()
	waiting := map[string]int{}
	for _, value := range values {
		waiting[value]++
	}
	// The partitions that Sarama, the sidecars' client, chooses for these keys among four: by FNV-1a, signed.
	partitionOf := map[string]int32{"18": 0, "7907027952": 3}
	for _, r := range target(t) {
		waiting[string(r.Value)]--
		key := string(r.Key)
		if want, known := partitionOf[key]; known != strings.Contains(string(r.Value), "origin_account_number") || known && r.Partition != want {
			t.Errorf("%s has the key %q in partition %d", r.Value, key, r.Partition)
		}
	}
	for value, n := range waiting {
		if n != 0 {
			t.Errorf("put back %d times too few: %s", n, value)
		}
	}
}

// If replay ends between putting a letter back and noting it, the next run puts the letter back again, and later runs do not.
func TestReplayIsInterrupted(t *testing.T) {
	cluster := startBroker(t)
	bury(t, 0, event("e1", "18"), event("e2", "18"))
	refuse := func(topic string) {
		cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
			request := r.(*kmsg.ProduceRequest)
			cluster.KeepControl()
			if len(request.Topics) == 0 || request.Topics[0].Topic != topic && request.Topics[0].TopicID != cluster.TopicInfo(topic).TopicID {
				return nil, nil, false
			}
			cluster.DropControl()
			response := request.ResponseKind().(*kmsg.ProduceResponse)
			answer := kmsg.NewProduceResponseTopic()
			answer.Topic, answer.TopicID = request.Topics[0].Topic, request.Topics[0].TopicID
			partition := kmsg.NewProduceResponseTopicPartition()
			partition.Partition, partition.ErrorCode = request.Topics[0].Partitions[0].Partition, 29 // TOPIC_AUTHORIZATION_FAILED
			answer.Partitions = append(answer.Partitions, partition)
			response.Topics = append(response.Topics, answer)
			return response, nil, true
		})
	}
	refuse(deadletter.Target)
	wantLines(t, ops(t, 1, "dead-letters replay all"), "0 put back", "putting back 0:0: TOPIC_AUTHORIZATION_FAILED")
	wantLines(t, ops(t, 0, "dead-letters"), "2 dead letters, 0 put back")
	wantTarget(t)

	refuse(deadletter.Topic)
	wantLines(t, ops(t, 1, "dead-letters replay all"), "0:0 put back", "0:0 is put back, but noting it: TOPIC_AUTHORIZATION_FAILED")
	wantLines(t, ops(t, 0, "dead-letters replay all"), "0:0 put back\n0:1 put back\n2 put back, 0 had been before")
	wantLines(t, ops(t, 0, "dead-letters replay all"), "0 put back, 2 had been before")
	wantTarget(t, event("e1", "18"), event("e1", "18"), event("e2", "18"))
}

// If the broker deletes a letter after replay has listed it, replay reports it.
func TestReplayOfWhatIsGone(t *testing.T) {
	cluster := startBroker(t)
	bury(t, 0, event("e1", "18"), event("e2", "18"))
	admin, requests := kadm.NewClient(dial(t)), 0
	cluster.ControlKey(int16(kmsg.ListOffsets), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if requests++; requests == 3 { // the list has asked for the first offsets and the next ones, now replay does
			cluster.SleepControl(func() {
				var before kadm.Offsets
				before.AddOffset(deadletter.Topic, 0, 1, -1)
				if _, err := admin.DeleteRecords(context.WithoutCancel(t.Context()), before); err != nil {
					t.Error(err)
				}
			})
		}
		return nil, nil, false
	})
	wantLines(t, ops(t, 1, "dead-letters replay 0:0 0:1"), "0:1 put back\n1 put back, ", "0:0 is gone")
	wantTarget(t, event("e2", "18"))
}

func TestNoDeadLetterTopic(t *testing.T) {
	startBroker(t)
	admin := kadm.NewClient(dial(t))
	if _, err := admin.DeleteTopics(context.WithoutCancel(t.Context()), deadletter.Topic); err != nil {
		t.Fatal(err)
	}
	wantLines(t, ops(t, 1, "dead-letters"), deadletter.Topic, "UNKNOWN_TOPIC_OR_PARTITION")
}

func TestHalfALoginIsRefused(t *testing.T) {
	startBroker(t)
	t.Setenv("KAFKA_USERNAME", "ana")
	wantLines(t, ops(t, 1, "dead-letters"), "KAFKA_PASSWORD")
}
