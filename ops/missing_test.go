package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/bankmore/bankmore/ops/internal/deadletter"
)

// tell publishes, as transfer-svc does, the event of a completed transfer of 10.00 from account 18 to account 26.
func tell(t *testing.T, client *kgo.Client, id, request string) {
	t.Helper()
	event := fmt.Sprintf(`{"specversion":"1.0","id":%[1]q,"source":"transfer-svc","type":"t","data":{"id":%[1]q,"request_id":%[2]q,`+
		`"origin_account_number":"18","destination_account_number":"26","amount":"10.00","completed_at":"2026-01-31T12:00:00Z"}}`, id, request)
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: deadletter.Target, Key: []byte("18"), Value: []byte(event)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func transferID(i int) string { return fmt.Sprintf("0190f3a1-7b00-7000-8000-%012d", i) }

// missing names a transfer whose event the topic has if the database does not have the transfer. A transfer whose request was
// repeated is not missing.
func TestMissing(t *testing.T) {
	dbs := databases(t)
	startBroker(t)
	client := dial(t)
	execute(t, dbs["account"], `INSERT INTO customers (account_id, name, cpf_hash, cpf_encrypted, password_hash, created_at) VALUES ('a', 'Ana', 'a', '', '', 0);
		INSERT INTO accounts (id, number) VALUES ('a', '18')`)
	const transfer = "INSERT INTO transfers VALUES ('%s', '%s', 'f', 'a', '18', '26', 1000, 'COMPLETED', NULL, NULL, 0, 0, 0, NULL, 0)"
	for i := range 250 {
		tell(t, client, transferID(i), fmt.Sprint("r", i))
		execute(t, dbs["transfer"], fmt.Sprintf(transfer, transferID(i), fmt.Sprint("r", i)))
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: deadletter.Target, Value: []byte("no event")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	wantRun(t, 0, "250 events of completed transfers, 0 transfers are missing; 1 events that cannot be understood", "missing")

	tell(t, client, transferID(900), "pedido || 900")
	tell(t, client, transferID(900), "pedido || 900") // the broker has it twice
	tell(t, client, transferID(901), "asked for again")
	execute(t, dbs["transfer"], fmt.Sprintf(transfer, transferID(902), "asked for again"))
	wantRun(t, 1, "MISSING transfer "+transferID(900)+` of 10.00 from 18 to 26, request "pedido || 900", completed at 2026-01-31T12:00:00Z, and account 26`+
		"\n253 events of completed transfers, 1 transfers are missing", "missing")
}

// After skip-events, fee-svc gets only later events. While fee-svc runs, the command fails.
func TestSkipEvents(t *testing.T) {
	startBroker(t)
	client := dial(t)
	for i := range 20 {
		tell(t, client, transferID(i), "r")
	}
	wantRun(t, 0, "fee-svc skips 20 events\n", "skip-events")
	wantRun(t, 0, "fee-svc skips 0 events\n", "skip-events")
	tell(t, client, transferID(20), "r")

	fees := dial(t, kgo.ConsumerGroup("fee-svc"), kgo.ConsumeTopics(deadletter.Target))
	fetches := fees.PollFetches(t.Context())
	if err := fetches.Err(); err != nil || fetches.NumRecords() != 1 {
		t.Errorf("%d records, %v", fetches.NumRecords(), err)
	}
	wantRun(t, 1, "stop fee-svc and its sidecars first", "skip-events")
	if err := fees.LeaveGroupContext(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}
