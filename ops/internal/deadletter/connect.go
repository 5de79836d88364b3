package deadletter

import (
	"hash/fnv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/bankmore/bankmore/ops/internal/broker"
)

// Connect is broker.Connect for a client with which Replay can write.
func Connect() (*kgo.Client, error) { return broker.Connect(kgo.RecordPartitioner(partitioner())) }

// partitioner chooses an event's partition as the sidecars do (by Sarama's hash of the key). A note goes into the partition of
// its letter.
func partitioner() kgo.Partitioner {
	events := kgo.StickyKeyPartitioner(kgo.SaramaCompatHasher(func(key []byte) uint32 {
		h := fnv.New32a()
		_, _ = h.Write(key) // never fails
		return h.Sum32()
	}))
	notes := kgo.ManualPartitioner()
	return byTopic{events: events, notes: notes}
}

type byTopic struct{ events, notes kgo.Partitioner }

// ForTopic implements kgo.Partitioner.
func (b byTopic) ForTopic(topic string) kgo.TopicPartitioner {
	if topic == Topic {
		return b.notes.ForTopic(topic)
	}
	return b.events.ForTopic(topic)
}
