package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/bankmore/bankmore/e2e/client"
)

const (
	completedTopic  = "transfers-completed"
	deadLetterTopic = "transfers-completed-dead-letter"
	chargesTopic    = "fee-charges"
	partitions      = 4
)

func kafka(t *testing.T, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(options, system.KafkaOptions()...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// records reads a topic from its beginning until done says that it has seen enough.
func records(t *testing.T, topic string, done func([]*kgo.Record) bool) []*kgo.Record {
	t.Helper()
	c := kafka(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
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

// mentions finds a record that holds text.
func mentions(all []*kgo.Record, text string) *kgo.Record {
	i := slices.IndexFunc(all, func(r *kgo.Record) bool { return strings.Contains(string(r.Value), text) })
	if i < 0 {
		return nil
	}
	return all[i]
}

// Events that make no sense, in every partition and among good ones, are kept in the dead-letter topic; the good ones
// around them are charged, each once, even if they come twice.
func TestBadEventsAmongGoodOnes(t *testing.T) {
	ana, bia := newPerson(t, "Ana Evento", "1000.00"), newPerson(t, "Bia Evento", "")
	first := ana.pay(t, bia, "10.00")
	event := mentions(records(t, completedTopic, func(all []*kgo.Record) bool { return mentions(all, first.TransferID) != nil }), first.TransferID)
	if string(event.Key) != ana.Number {
		t.Errorf("the event's partition key is %q, want the origin account %s", event.Key, ana.Number)
	}

	mark := key()
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
	producer := kafka(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	produce := func(value string, partition int) {
		record := &kgo.Record{Topic: completedTopic, Partition: int32(partition), Value: []byte(value)}
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
		paid = append(paid, ana.pay(t, bia, "10.00"))
	}

	ana.waitBalance(t, fmt.Sprintf("%d.00", 1000-12*len(paid)))
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
	kept := counts(records(t, deadLetterTopic, func(all []*kgo.Record) bool {
		n := counts(all)
		return !slices.ContainsFunc(garbage, func(value string) bool { return n[value] < partitions })
	}))
	if kept[string(event.Value)] > 0 {
		t.Error("a good event was dead-lettered")
	}
	charge := mentions(records(t, chargesTopic, func(all []*kgo.Record) bool { return mentions(all, first.TransferID) != nil }), first.TransferID)
	if string(charge.Key) != ana.Number || !strings.Contains(string(charge.Value), `"2.00"`) {
		t.Errorf("fee-charges: key %q, value %s", charge.Key, charge.Value)
	}
	checkLedger(t)
}

// An operator sees what was dead-lettered. A good event among it, put back as often as he likes, is charged once.
func TestDeadLettersArePutBack(t *testing.T) {
	ops := func(args ...string) string {
		t.Helper()
		out, err := system.Ops(t.Context(), append([]string{"dead-letters"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	ana, bia := newPerson(t, "Ana Morta", "1000.00"), newPerson(t, "Bia Morta", "")
	first := ana.pay(t, bia, "10.00")
	event := mentions(records(t, completedTopic, func(all []*kgo.Record) bool { return mentions(all, first.TransferID) != nil }), first.TransferID)
	ana.waitBalance(t, "988.00")

	producer, mark := kafka(t), key()
	produce := func(topic, value string) *kgo.Record {
		t.Helper()
		results := producer.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(value)})
		if err := results.FirstErr(); err != nil {
			t.Fatal(err)
		}
		return results[0].Record
	}
	produce(completedTopic, `{"id":"`+mark+`"}`)
	eventually(t, 20*time.Second, func() error {
		if list := ops(); !strings.Contains(list, `id "`+mark+`", "not a CloudEvent`) {
			return fmt.Errorf("no %s among\n%s", mark, list)
		}
		return nil
	})

	letter := produce(deadLetterTopic, string(event.Value))
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
	records(t, completedTopic, func(all []*kgo.Record) bool {
		copies = slices.DeleteFunc(slices.Clone(all), func(r *kgo.Record) bool { return string(r.Value) != string(event.Value) })
		return len(copies) >= 3
	})
	for _, r := range copies {
		if string(r.Key) != ana.Number || r.Partition != event.Partition {
			t.Errorf("key %q in partition %d, the event was in %d", r.Key, r.Partition, event.Partition)
		}
	}
	second := ana.pay(t, bia, "10.00") // whose event comes after the copies
	ana.waitBalance(t, "976.00")
	wantCharged(t, ana, first.TransferID)
	wantCharged(t, ana, second.TransferID)
	checkLedger(t)
	if out, err := system.Ops(t.Context(), "verify"); err != nil {
		t.Error(out)
	}
}

func wantCharged(t *testing.T, payer person, transferID string) {
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
