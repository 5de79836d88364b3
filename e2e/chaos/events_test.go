package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

// completed makes a transfer and returns its event, as it is in the topic.
func (s *scenario) completed(from, to *bank.Customer) (transfer *fact, event string) {
	s.Helper()
	transfer = s.transfer(from, to, "1.00")
	s.insist(transfer)
	return transfer, string(bank.Mentions(system.Records(s.T, bank.CompletedTopic, func(all []*kgo.Record) bool {
		return bank.Mentions(all, transfer.transferID) != nil
	}), transfer.transferID).Value)
}

// topicPartitions is how many partitions the topic of completed transfers has.
func (s *scenario) topicPartitions() int {
	s.Helper()
	topics, err := kadm.NewClient(system.Kafka(s.T)).ListTopics(s.Context(), bank.CompletedTopic)
	s.must(err)
	return len(topics[bank.CompletedTopic].Partitions)
}

// publisher returns a function that puts a message into a partition of the topic of completed transfers.
func (s *scenario) publisher() func(partition int, message string) {
	producer := system.Kafka(s.T, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	return func(partition int, message string) {
		s.Helper()
		record := &kgo.Record{Topic: bank.CompletedTopic, Partition: int32(partition), Value: []byte(message)}
		s.must(producer.ProduceSync(s.Context(), record).FirstErr())
	}
}

// Row 9: a first handler of an event holds its transaction open. Meanwhile the event is delivered again: to fee-svc, or to a
// second replica where the profile allows one, and from every partition. No delivery may be acknowledged before the fee is
// durable. Every third time fee-svc dies after it has recorded the fee and before it acknowledges the event.
func repeatedEvents(s *scenario) {
	ana, bia := s.customer("Ana Nove", "1000.00"), s.customer("Bia Nove", "")
	first := system.Apps["fee-svc"]
	second := first
	if system.Shared() {
		replica, err := system.Replicate(s.Context(), "fee-svc")
		s.must(err)
		second = replica
		// Nobody waits for AddressLife: in the rows that follow, only WaitOpen calls fee-svc through a sidecar, and it tries again.
		defer func() { s.must(system.Retire(second)) }()
	}
	publish, partitions := s.publisher(), s.topicPartitions()
	s.repeat(func(n int) {
		system.Settle(s.T) // or what is left of the time before would come first
		s.consumed()
		if n%3 == 2 {
			if second != first { // the one that is to die gets all events
				s.must(second.Service.Pause())
			}
			armed := s.arm("fee-svc", "fees.recorded", stack.Kill, "")
			_, event := s.completed(ana, bia)
			if err := s.deliver(first, event); err == nil {
				s.violated("acknowledged by a service that was dead")
			}
			s.killedAt("fee-svc", armed)
			if second != first {
				s.must(second.Service.Resume())
			}
			return
		}
		unpublished := s.arm("transfer-svc", "outbox.claimed", stack.Stall, "")
		transfer := s.transfer(ana, bia, "1.00")
		s.insist(transfer)
		s.must(unpublished.Reached(s.Context()))
		event := completedEvent(transfer)

		held := s.arm("fee-svc", "commit.before", stack.Stall, byRecorder)
		var acknowledged atomic.Int32
		var all sync.WaitGroup
		defer all.Wait() // after what follows, should the row end early
		defer func() { s.must(errors.Join(held.Release(), unpublished.Release())) }()
		deliver := func(to *stack.App) {
			all.Go(func() {
				if err := s.deliver(to, event); err != nil {
					s.violated("an event was not acknowledged: %v", err)
					return
				}
				acknowledged.Add(1)
			})
		}
		deliver(first)
		s.must(held.Reached(s.Context()))
		for range 3 {
			deliver(second)
		}
		for partition := range partitions {
			publish(partition, event)
		}
		time.Sleep(200 * time.Millisecond) // the others arrive, and wait
		if early := acknowledged.Load(); early > 0 {
			s.violated("%d acknowledged an event whose fee was not durable", early)
		}
		s.must(held.Release())
		s.must(unpublished.Release())
		all.Wait()
		s.checked(partitions + 4)
	})
}

// consumed waits until fee-svc has taken every event.
func (s *scenario) consumed() {
	s.Helper()
	admin := kadm.NewClient(system.Kafka(s.T))
	bank.Eventually(s.T, time.Minute, func() error {
		lags, err := admin.Lag(s.Context(), "fee-svc")
		if err != nil {
			return err
		}
		group := lags["fee-svc"]
		if err := group.Error(); err != nil {
			return err
		}
		if waiting := group.Lag.Total(); waiting > 0 {
			return fmt.Errorf("%d events have not been taken", waiting)
		}
		return nil
	})
}

// completedEvent is an event of a transfer, as transfer-svc's sidecar makes them.
func completedEvent(f *fact) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"transfer-svc","type":"transfers-completed","datacontenttype":"application/json",`+
		`"data":{"id":%[1]q,"request_id":%q,"origin_account_number":%q,"destination_account_number":%q,"amount":%q,"completed_at":%q}}`,
		f.transferID, f.key, f.who.Number, f.to, f.amount, time.Now().UTC().Format(time.RFC3339Nano))
}

// deliver hands an event to a replica of fee-svc, as its sidecar does. It fails unless the event is acknowledged.
func (s *scenario) deliver(to *stack.App, event string) error {
	header := s.customers[0].Header()
	header.Set("dapr-api-token", system.AppToken)
	answer, err := system.API.Send(s.Context(), "POST", to.URL+"/events/transfers-completed", []byte(event), header)
	if err == nil && (answer.Status != 200 || !strings.Contains(string(answer.Body), `"SUCCESS"`)) {
		err = fmt.Errorf("answered by %d %s", answer.Status, answer.Body)
	}
	return err
}

// garbage returns messages that are no event of a completed transfer. Each holds the mark.
func garbage(mark, event string) []string {
	cloudEvent := func(data string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"test","type":"test","datacontenttype":"application/json","data":%s}`, mark, data)
	}
	return []string{
		"no JSON " + mark, `{"unfinished":"` + mark, `["` + mark + `"]`, "\x00\xff" + mark, cloudEvent(`null`), cloudEvent(`{}`),
		cloudEvent(`{"id":"` + mark + `","origin_account_number":"1","amount":"1.00"}`),
		strings.ReplaceAll(strings.ReplaceAll(event, `"1.00"`, `"-1.00"`), `"specversion"`, `"mark":"`+mark+`","specversion"`),
		strings.ReplaceAll(event, `"specversion":"1.0"`, `"specversion":"0.3","mark":"`+mark+`"`), strings.Repeat("x", 10000) + mark,
	}
}

// Row 10: messages that are no events are kept as dead letters, byte for byte. The events behind them are handled.
func poison(s *scenario) {
	ana, bia := s.customer("Ana Dez", "1000.00"), s.customer("Bia Dez", "")
	publish, partitions := s.publisher(), s.topicPartitions()
	var bad []string
	s.repeat(func(n int) {
		// The good event comes only from here, once, in the middle, until its fee is there.
		unpublished := s.arm("transfer-svc", "outbox.claimed", stack.Stall, "")
		transfer := s.transfer(ana, bia, "1.00")
		s.insist(transfer)
		s.must(unpublished.Reached(s.Context()))
		event := completedEvent(transfer)
		all := garbage(fmt.Sprintf("mark-%s-%d", bank.Key(), n), event)
		for i, message := range all {
			publish(n%partitions, message)
			if i == len(all)/2 {
				publish(n%partitions, event)
			}
		}
		bad = append(bad, all...)
		s.recorded(transfer)
		s.must(unpublished.Release())
	})
	kept := map[string]int{}
	system.Records(s.T, bank.DeadLetterTopic, func(all []*kgo.Record) bool {
		clear(kept)
		for _, r := range all {
			kept[string(r.Value)]++
		}
		return !slices.ContainsFunc(bad, func(message string) bool { return kept[message] == 0 })
	})
	for message := range kept {
		if strings.Contains(message, ana.Number) && !strings.Contains(message, "mark-") {
			s.violated("a good event is a dead letter: %s", message)
		}
	}
	s.checked(len(bad))
}

// recorded waits until a transfer has a fee.
func (s *scenario) recorded(transfer *fact) {
	s.Helper()
	conn := system.OpenBooks(s.T)
	defer conn.Close()
	if err := bank.Within(20*time.Second, func() error {
		fees, err := bank.Lines(s.Context(), conn, "SELECT id FROM fee.fees WHERE transfer_id = $1", transfer.transferID)
		if err == nil && len(fees) != 1 {
			err = fmt.Errorf("%s has %d fees", transfer, len(fees))
		}
		return err
	}); err != nil {
		s.violated("%v", err)
	}
}

// Row 11: the broker, fee-svc or a relay fails between a transfer and its fee.
func feesInterrupted(s *scenario) {
	const outage = 2 * time.Second
	ana, bia := s.customer("Ana Onze", "10000.00"), s.customer("Bia Onze", "")
	pay := func() { s.insist(s.transfer(ana, bia, "1.00")) }
	s.repeat(func(n int) {
		id, server := "transfer-svc", system.Broker()
		if n%2 == 1 {
			id, server = "fee-svc", service("fee-svc")
		}
		pay()
		s.must(server.Kill())
		pay() // goes on all the same
		time.Sleep(outage)
		s.must(server.Start(s.Context()))

		armed := s.arm(id, []string{"outbox.published", "outbox.claimed"}[n/2%2], stack.Kill, "")
		s.launch(s.transfer(ana, bia, "1.00"))
		s.killedAt(id, armed)
		s.silentBefore(s.transfer(ana, bia, "1.00"))
	})
	if *minuteFlag {
		s.begin(11)
		s.flows("at first")
		s.down(system.Broker(), time.Minute)
		s.flows("after a minute without a broker")
		s.down(service("fee-svc"), time.Minute)
		s.flows("after a minute without fee-svc")
		s.end()
		s.repetitions++
	}
}

// silentBefore makes a transfer, and checks that fee-svc gets no event of it before its completion is committed.
func (s *scenario) silentBefore(f *fact) {
	s.Helper()
	answered := s.arm("transfer-svc", "answered.PENDING", stack.Stall, byRequest)
	s.launch(f)
	s.must(answered.Reached(s.Context()))
	held := s.arm("transfer-svc", "commit.before", stack.Stall, bySaga)
	s.must(answered.Release())
	s.must(held.Reached(s.Context()))
	time.Sleep(200 * time.Millisecond) // many times what an event takes
	conn := system.OpenBooks(s.T)
	defer conn.Close()
	heard, err := bank.Lines(s.Context(), conn, `SELECT t.state FROM fee.fees f JOIN transfer.transfers t ON t.id = f.transfer_id
		WHERE t.request_id = $1 AND t.state <> 'COMPLETED'`, f.key)
	s.must(err)
	if len(heard) > 0 {
		s.violated("%s: has a fee while it is %q", f, heard)
	}
	s.checked(1)
	s.must(held.Release())
}

// Row 12: account-svc is down under load: transfers wait or are refused cleanly, and none is half done in the end.
func ledgerDown(s *scenario) {
	s.begin(12)
	s.flows("at first")
	s.repeat(func(int) {
		s.down(service("account-svc"), 2*time.Second)
		s.flows("after two seconds without account-svc")
	})
	if *minuteFlag {
		s.down(service("account-svc"), time.Minute)
		s.flows("after a minute without account-svc")
		s.repetitions++
	}
	s.end()
}

// Row 13: the state store fails, or has forgotten everything, under load: nothing happens twice.
func memoryGone(s *scenario) {
	s.begin(13)
	ana, bia := s.customer("Ana Treze", "1000.00"), s.customer("Bia Treze", "")
	s.repeat(func(int) {
		before := []*fact{s.transfer(ana, bia, "1.00"), s.withdrawal(ana, "1.00")}
		for _, f := range before {
			s.insist(f)
		}
		again := func() {
			for _, f := range before {
				s.askOnceMore(f)
			}
		}
		s.forgetState()
		again()
		s.must(system.WithoutState(s.Context(), func() {
			again()
			during := s.transfer(ana, bia, "1.00")
			s.insist(during)
			s.askOnceMore(during)
		}))
		again()
	})
	s.end()
}

// Row 14: sidecars die under load, one after another; callers recover without a restart of their own.
func sidecarsKilled(s *scenario) {
	s.begin(14)
	s.flows("at first")
	ids := append([]string{stack.Ingress}, stack.Services...)
	s.repeat(func(n int) {
		id := ids[n%len(ids)]
		s.down(system.Apps[id].Sidecar, 100*time.Millisecond)
		s.flows("after the kill of the sidecar of " + id)
	})
	s.end()
}

// Row 15: every service is restarted under load as a deployment does it.
func rollingRestarts(s *scenario) {
	s.begin(15)
	s.flows("at first")
	s.repeat(func(int) {
		for _, id := range stack.Services {
			s.must(service(id).Terminate()) // which fails if it does not drain in time
			s.must(service(id).Start(s.Context()))
		}
		s.flows("after a restart of every service")
	})
	s.end()
}

// Row 16: the databases refuse to write under load: what cannot be done is answered 503, and once they write again all
// works without a restart.
func writesRefused(s *scenario) {
	undo, err := system.LimitWrites(s.Context())
	s.must(err)
	s.Cleanup(func() {
		if err := undo(context.WithoutCancel(s.Context())); err != nil {
			s.Error(err)
		}
	})
	s.begin(16)
	s.flows("at first")
	ana := s.customer("Ana Dezesseis", "1000.00")
	s.repeat(func(int) {
		var notWritten *fact
		s.must(system.WithoutWrites(s.Context(), func() {
			bank.Eventually(s.T, 20*time.Second, func() error { // what space there is in the files is used up
				notWritten = s.deposit(ana, "1.00")
				s.ask(notWritten) // which takes no other failure than 503
				if notWritten.known() {
					return errors.New("deposits are still taken")
				}
				return nil
			})
			if _, err := ana.Balance(s.Context()); err != nil {
				s.violated("reading, while nothing can be written: %v", err)
			}
			s.checked(2)
		}))
		s.insist(notWritten)
		s.flows("after nothing could be written")
	})
	s.end()
}
