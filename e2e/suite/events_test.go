package suite_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
)

// partitions is how many of the partitions of a topic the tests use.
const partitions = 4

// Messages that are no events stand in every partition among good events. fee-svc keeps them in the dead-letter topic, and charges
// each good event once, even if it comes twice.
func TestBadEventsAmongGoodOnes(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Evento", "1000.00"), system.NewCustomer(t, "Bia Evento", "")
	first := ana.Pay(t, bia, "10.00")
	event := bank.Mentions(system.Records(t, bank.CompletedTopic, func(all []*kgo.Record) bool { return bank.Mentions(all, first.TransferID) != nil }), first.TransferID)
	if string(event.Key) != ana.Number {
		t.Errorf("the event's partition key is %q, want the origin account %s", event.Key, ana.Number)
	}

	mark := bank.Key()
	change := func(old, replacement string) string {
		changed := strings.ReplaceAll(string(event.Value), old, replacement)
		if changed == string(event.Value) {
			t.Fatalf("no %s in the event %s", old, event.Value)
		}
		return changed
	}
	cloudEvent := func(data string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"test","type":"test","datacontenttype":"application/json","data":%s}`, mark, data)
	}
	garbage := []string{
		"no JSON " + mark, `{"unfinished":"` + mark, `"` + mark + `"`, `["` + mark + `"]`, `{"a":"` + mark + `"}`, "\x00\xff" + mark,
		cloudEvent(`null`), cloudEvent(`{}`), cloudEvent(`"` + mark + `"`), cloudEvent(`{"id":"` + mark + `","origin_account_number":"1","amount":"1.00"}`),
		change(`"amount":"10.00"`, `"amount":"-10.00"`), strings.Repeat("x", 10000) + mark,
	}
	producer := system.Kafka(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	produce := func(value string, partition int) {
		record := &kgo.Record{Topic: bank.CompletedTopic, Partition: int32(partition), Value: []byte(value)}
		if value == "" {
			record.Value = nil
		}
		if err := producer.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	paid := []client.Receipt{first}
	for partition := range partitions {
		for _, value := range garbage {
			produce(value, partition)
			produce(string(event.Value), partition) // the good one again
		}
		produce("", partition)
		paid = append(paid, ana.Pay(t, bia, "10.00"))
	}

	ana.WaitBalance(t, fmt.Sprintf("%d.00", 1000-12*len(paid)))
	system.Settle(t) // the money moves a moment before the fee says so
	for _, receipt := range paid {
		wantCharged(t, ana, receipt.TransferID)
	}
	counts := func(all []*kgo.Record) map[string]int {
		n := map[string]int{}
		for _, r := range all {
			n[string(r.Value)]++
		}
		return n
	}
	kept := counts(system.Records(t, bank.DeadLetterTopic, func(all []*kgo.Record) bool {
		n := counts(all)
		return !slices.ContainsFunc(garbage, func(value string) bool { return n[value] < partitions })
	}))
	if kept[string(event.Value)] > 0 {
		t.Error("a good event was dead-lettered")
	}
	charge := bank.Mentions(system.Records(t, bank.ChargesTopic, func(all []*kgo.Record) bool { return bank.Mentions(all, first.TransferID) != nil }), first.TransferID)
	if string(charge.Key) != ana.Number || !strings.Contains(string(charge.Value), `"2.00"`) {
		t.Errorf("fee-charges: key %q, value %s", charge.Key, charge.Value)
	}
	system.CheckBooks(t)
}

// An operator lists the dead letters. If one of them is a good event, and he puts it back several times, its fee is charged once.
func TestDeadLettersArePutBack(t *testing.T) {
	ops := func(args ...string) string {
		t.Helper()
		out, err := system.Ops(t.Context(), append([]string{"dead-letters"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	ana, bia := system.NewCustomer(t, "Ana Morta", "1000.00"), system.NewCustomer(t, "Bia Morta", "")
	first := ana.Pay(t, bia, "10.00")
	event := bank.Mentions(system.Records(t, bank.CompletedTopic, func(all []*kgo.Record) bool { return bank.Mentions(all, first.TransferID) != nil }), first.TransferID)
	ana.WaitBalance(t, "988.00")

	producer, mark := system.Kafka(t), bank.Key()
	produce := func(topic, value string) *kgo.Record {
		t.Helper()
		results := producer.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(value)})
		if err := results.FirstErr(); err != nil {
			t.Fatal(err)
		}
		return results[0].Record
	}
	produce(bank.CompletedTopic, `{"id":"`+mark+`"}`)
	bank.Eventually(t, 20*time.Second, func() error {
		if list := ops(); !strings.Contains(list, `id "`+mark+`", "not a CloudEvent`) {
			return fmt.Errorf("no %s among\n%s", mark, list)
		}
		return nil
	})

	letter := produce(bank.DeadLetterTopic, string(event.Value))
	position := fmt.Sprintf("%d:%d", letter.Partition, letter.Offset)
	for _, step := range []struct{ args, want string }{
		{"replay " + position, position + " put back\n1 put back, 0 had been before"},
		{"replay " + position, "0 put back, 1 had been before"},
		{"replay -again " + position, "1 put back, 0 had been before"},
	} {
		if out := ops(strings.Fields(step.args)...); !strings.Contains(out, step.want) {
			t.Errorf("%s: %s", step.args, out)
		}
	}
	var copies []*kgo.Record
	system.Records(t, bank.CompletedTopic, func(all []*kgo.Record) bool {
		copies = slices.DeleteFunc(slices.Clone(all), func(r *kgo.Record) bool { return string(r.Value) != string(event.Value) })
		return len(copies) >= 3
	})
	for _, r := range copies {
		if string(r.Key) != ana.Number || r.Partition != event.Partition {
			t.Errorf("key %q in partition %d, the event was in %d", r.Key, r.Partition, event.Partition)
		}
	}
	second := ana.Pay(t, bia, "10.00") // whose event comes after the copies
	ana.WaitBalance(t, "976.00")
	system.Settle(t) // the money moves a moment before the fee says so
	wantCharged(t, ana, first.TransferID)
	wantCharged(t, ana, second.TransferID)
	system.CheckBooks(t)
	if out, err := system.Ops(t.Context(), "verify"); err != nil {
		t.Error(out)
	}
}

func wantCharged(t *testing.T, payer bank.Customer, transferID string) {
	t.Helper()
	fees, err := client.All(t.Context(), 100, payer.Fees)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, fee := range fees {
		if fee.TransferID == transferID && fee.Status == client.Charged {
			n++
		}
	}
	if n != 1 {
		t.Errorf("transfer %s was charged %d times", transferID, n)
	}
}
