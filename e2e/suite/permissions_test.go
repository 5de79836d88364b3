package suite_test

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The services' Kafka user may not create topics, delete records, see other topics, or read another group's offsets.
func servicesMayNotAdministerKafka(t *testing.T) {
	client, err := kgo.NewClient(servers().ServicesKafkaOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	services := kadm.NewClient(client)
	created, err := services.CreateTopic(t.Context(), 1, 1, nil, "not-for-services")
	if !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("creating a topic: %+v, %v", created, err)
	}
	var before kadm.Offsets
	before.Add(kadm.Offset{Topic: "fee-charges", Partition: 0, At: 0})
	deleted, err := services.DeleteRecords(t.Context(), before)
	if err == nil {
		err = deleted.Error()
	}
	if !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("deleting records: %v", err)
	}
	topics, err := services.ListTopics(t.Context())
	if err != nil || len(topics) != 3 {
		t.Errorf("topics %v, %v, want the three of the services", topics.Names(), err)
	}
	other, err := services.FetchOffsets(t.Context(), "not-for-services")
	if !errors.Is(err, kerr.GroupAuthorizationFailed) {
		t.Errorf("another's group: %v, %v", other, err)
	}
}
