package deadletter

import (
	"crypto/tls"
	"errors"
	"hash/fnv"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// localBroker is that of `make run`.
const localBroker = "127.0.0.1:9092"

// Connect returns a client for the broker that the environment names, in the variables that the sidecars read:
// KAFKA_BOOTSTRAP_SERVERS (else that of `make run`), KAFKA_USERNAME and KAFKA_PASSWORD (SCRAM-SHA-512, over TLS unless
// KAFKA_DISABLE_TLS is true; without them, in the clear). It writes only what every replica confirms.
func Connect() (*kgo.Client, error) {
	brokers, user, password := os.Getenv("KAFKA_BOOTSTRAP_SERVERS"), os.Getenv("KAFKA_USERNAME"), os.Getenv("KAFKA_PASSWORD")
	if brokers == "" {
		brokers = localBroker
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RetryTimeout(patience),
		kgo.RecordDeliveryTimeout(patience),
		kgo.RecordPartitioner(partitioner()),
	}
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

// partitioner puts an event where the sidecars do (Sarama's hash of the key), and a note beside its letter.
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
