package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
	"github.com/bankmore/bankmore/platform/telemetry"
	"github.com/bankmore/bankmore/platform/telemetry/telemetrytest"
)

// The table from the package's documentation.
const initial = `-- +goose Up
CREATE TABLE outbox (
	id            TEXT PRIMARY KEY,
	topic         TEXT NOT NULL,
	partition_key TEXT NOT NULL,
	payload       TEXT NOT NULL,
	traceparent   TEXT,
	created_at    BIGINT NOT NULL,
	claimed_until BIGINT NOT NULL
);
`

var migrations = fstest.MapFS{"sqlite/00001_outbox.sql": {Data: []byte(initial)}, "postgres/00001_outbox.sql": {Data: []byte(initial)}}

func open(t *testing.T) *sqldb.DB {
	t.Helper()
	return sqldbtest.SQLite.Open(t, migrations)
}

func add(t *testing.T, db *sqldb.DB, messages ...outbox.Message) {
	t.Helper()
	err := db.InTx(t.Context(), func(tx *sql.Tx) error { return outbox.Of(db).Add(t.Context(), tx, db.Now(), messages) })
	if err != nil {
		t.Fatal(err)
	}
}

// messages returns n messages for topic, of a few partitions. The payload of each is its number.
func messages(topic string, n int) []outbox.Message {
	out := make([]outbox.Message, n)
	for i := range out {
		out[i] = outbox.Message{Topic: topic, PartitionKey: fmt.Sprint("account ", i%7), Payload: fmt.Appendf(nil, `{"n":%d}`, i)}
	}
	return out
}

// left counts the rows in the table, and those of them that are claimed.
func left(t *testing.T, db *sqldb.DB) (rows, claimed int) {
	t.Helper()
	err := db.Read().QueryRowContext(context.WithoutCancel(t.Context()),
		"SELECT count(*), count(*) FILTER (WHERE claimed_until > "+db.Now()+") FROM outbox").Scan(&rows, &claimed)
	if err != nil {
		t.Fatal(err)
	}
	return rows, claimed
}

// broker records what it receives, and fails as the test says.
type broker struct {
	mu    sync.Mutex
	calls []call
	fail  func(ctx context.Context, topic string, events []sidecar.Event) (map[string]bool, error)
}

type call struct {
	pubsub, topic string
	events        []sidecar.Event
}

func (b *broker) Publish(ctx context.Context, pubsub, topic string, events []sidecar.Event) (map[string]bool, error) {
	b.mu.Lock()
	b.calls = append(b.calls, call{pubsub, topic, events})
	b.mu.Unlock()
	if b.fail != nil {
		return b.fail(ctx, topic, events)
	}
	return nil, nil
}

// received counts how often each event was published, by id.
func (b *broker) received() map[string]int {
	counts := map[string]int{}
	for _, c := range b.calls {
		for _, e := range c.events {
			counts[e.ID]++
		}
	}
	return counts
}

func all(events []sidecar.Event) map[string]bool {
	failed := map[string]bool{}
	for _, e := range events {
		failed[e.ID] = true
	}
	return failed
}

var errDown = errors.New("broker is down")

func round(t *testing.T, r *outbox.Relay) (more bool) {
	t.Helper()
	more, err := r.Round(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return more
}

func TestPublished(t *testing.T) {
	db, b := open(t), new(broker)
	relay := outbox.NewRelay(db, b, "pubsub")
	if round(t, relay) || len(b.calls) != 0 {
		t.Errorf("an empty outbox made %d calls", len(b.calls))
	}
	id := uuid.Must(uuid.NewV7()).String()
	add(t, db, outbox.Message{ID: id, Topic: "thing-done", PartitionKey: "account 1", Payload: []byte(`{"name":"José"}`)})
	if round(t, relay) {
		t.Error("more is waiting?")
	}
	want := []call{{"pubsub", "thing-done", []sidecar.Event{{
		ID: id, Type: "thing-done", PartitionKey: "account 1", Data: []byte(`{"name":"José"}`),
	}}}}
	if diff := cmp.Diff(want, b.calls, cmp.AllowUnexported(call{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if rows, _ := left(t, db); rows != 0 {
		t.Errorf("%d rows are left", rows)
	}
	round(t, relay)
	if len(b.calls) != 1 {
		t.Error("published again")
	}
}

func TestRolledBackIsNeverPublished(t *testing.T) {
	db, b := open(t), new(broker)
	refused := errors.New("refused")
	err := db.InTx(t.Context(), func(tx *sql.Tx) error {
		if err := outbox.Of(db).Add(t.Context(), tx, db.Now(), messages("topic", 3)); err != nil {
			return err
		}
		return refused
	})
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
	round(t, outbox.NewRelay(db, b, "pubsub"))
	if len(b.calls) != 0 {
		t.Errorf("published %v", b.calls)
	}
}

// A topic's newest event moves when the broker confirms an event, and only then: an alert compares it with what its consumer
// acknowledges.
func TestNewestPublishedEvent(t *testing.T) {
	const name = "bankmore_outbox_newest_published_timestamp_seconds"
	db, b := open(t), new(broker)
	relay := outbox.NewRelay(db, b, "pubsub")
	add(t, db, messages("newest", 1)...)
	before := float64(time.Now().UnixMicro()) / 1e6
	round(t, relay)
	first := telemetrytest.Value(t, name, "newest")
	if now := float64(time.Now().UnixMicro()) / 1e6; first < before-.01 || first > now+.01 {
		t.Errorf("confirmed between %f and %f, and the gauge says %f", before, now, first)
	}
	b.fail = func(context.Context, string, []sidecar.Event) (map[string]bool, error) { return nil, errDown }
	add(t, db, messages("newest", 1)...)
	if _, err := relay.Round(t.Context()); err == nil {
		t.Error("the broker is down")
	}
	if got := telemetrytest.Value(t, name, "newest"); got != first {
		t.Errorf("nothing was confirmed, and the gauge went from %f to %f", first, got)
	}
}

// The relay publishes the oldest events first, in portions, each in the order of ids. So events of one partition stay in
// order.
func TestOrderAndPortions(t *testing.T) {
	db, b := open(t), new(broker)
	add(t, db, messages("topic", 550)...) // more rows than one INSERT takes
	relay := outbox.NewRelay(db, b, "pubsub")
	for round(t, relay) {
	}
	var sizes []int
	var payloads []string
	for _, c := range b.calls {
		sizes = append(sizes, len(c.events))
		for _, e := range c.events {
			payloads = append(payloads, string(e.Data))
		}
		if !slices.IsSortedFunc(c.events, func(x, y sidecar.Event) int { return strings.Compare(x.ID, y.ID) }) {
			t.Error("a call is not in the order of ids")
		}
	}
	if diff := cmp.Diff([]int{200, 200, 150}, sizes); diff != "" {
		t.Errorf("portions (-want +got):\n%s", diff)
	}
	for i, payload := range payloads {
		if want := fmt.Sprintf(`{"n":%d}`, i); payload != want {
			t.Fatalf("event %d is %s, want the order in which they were added", i, payload)
		}
	}
	if rows, _ := left(t, db); rows != 0 {
		t.Errorf("%d rows are left", rows)
	}
}

func TestSameIDTwiceIsRefused(t *testing.T) {
	db := open(t)
	message := outbox.Message{ID: "0197-1", Topic: "topic", Payload: []byte(`{}`)}
	err := db.InTx(t.Context(), func(tx *sql.Tx) error {
		return outbox.Of(db).Add(t.Context(), tx, db.Now(), []outbox.Message{message, message})
	})
	if err == nil {
		t.Error("two events with one id were added")
	}
	if rows, _ := left(t, db); rows != 0 {
		t.Errorf("%d rows", rows)
	}
}

// Events that the broker has not confirmed stay in the outbox without a claim, and are sent again with the same ids.
func TestFailedEntriesAreSentAgain(t *testing.T) {
	for name, test := range map[string]struct {
		fail func(context.Context, string, []sidecar.Event) (map[string]bool, error)
		kept int
	}{
		"some entries": {func(_ context.Context, _ string, events []sidecar.Event) (map[string]bool, error) {
			return all(events[1:3]), errDown
		}, 2},
		"every entry": {func(_ context.Context, _ string, events []sidecar.Event) (map[string]bool, error) {
			return all(events), errDown
		}, 5},
		"an error that names no entry": {func(context.Context, string, []sidecar.Event) (map[string]bool, error) {
			return nil, errDown
		}, 5},
		"entries without an error": {func(_ context.Context, _ string, events []sidecar.Event) (map[string]bool, error) {
			return all(events[:1]), nil
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			db, b := open(t), &broker{fail: test.fail}
			add(t, db, messages("topic", 5)...)
			relay := outbox.NewRelay(db, b, "pubsub")
			if more, err := relay.Round(t.Context()); more || (err != nil && !errors.Is(err, errDown)) {
				t.Errorf("Round = %t, %v", more, err)
			}
			if rows, claimed := left(t, db); rows != test.kept || claimed != 0 {
				t.Errorf("%d rows kept, %d of them claimed, want %d and 0", rows, claimed, test.kept)
			}
			b.fail = nil
			first := len(b.calls)
			round(t, relay)
			counts := b.received()
			if len(counts) != 5 {
				t.Errorf("%d ids for 5 events: an event was sent again under another id", len(counts))
			}
			again := 0
			for _, call := range b.calls[first:] {
				again += len(call.events)
			}
			if again != test.kept {
				t.Errorf("%d events sent again, want %d", again, test.kept)
			}
			if rows, _ := left(t, db); rows != 0 {
				t.Errorf("%d rows are left", rows)
			}
		})
	}
}

// The broker refuses one event and every call that contains it. In the end only that event stays in the outbox, whatever its
// place in the portion. The relay tries it again once its claim has expired. Until then it hardly delays the others.
func TestOneBadEventStaysAlone(t *testing.T) {
	for _, place := range []int{0, 1, 100, 199} {
		db, b := open(t), &broker{}
		all := messages("topic", 200)
		bad := string(all[place].Payload)
		b.fail = func(_ context.Context, _ string, events []sidecar.Event) (map[string]bool, error) {
			if slices.ContainsFunc(events, func(e sidecar.Event) bool { return string(e.Data) == bad }) {
				return nil, errDown
			}
			return nil, nil
		}
		add(t, db, all...)
		relay := outbox.NewRelay(db, b, "pubsub")
		if _, err := relay.Round(t.Context()); !errors.Is(err, errDown) {
			t.Errorf("bad event %d: %v", place, err)
		}
		if rows, claimed := left(t, db); rows != 1 || claimed != 1 {
			t.Errorf("bad event %d: %d rows are left, %d of them claimed", place, rows, claimed)
		}
		if len(b.calls) > 25 {
			t.Errorf("bad event %d: %d calls", place, len(b.calls))
		}
		before := len(b.calls)
		add(t, db, messages("topic", 210)[200:]...)
		round(t, relay)
		if rows, _ := left(t, db); rows != 1 || len(b.calls) != before+1 {
			t.Errorf("bad event %d: %d rows are left, %d calls for 10 good ones", place, rows, len(b.calls)-before)
		}
	}
}

func TestOneTopicsFailureDoesNotHoldUpTheOthers(t *testing.T) {
	db := open(t)
	b := &broker{fail: func(_ context.Context, topic string, events []sidecar.Event) (map[string]bool, error) {
		if topic == "bad" {
			return all(events), errDown
		}
		return nil, nil
	}}
	for _, topic := range []string{"good 1", "bad", "good 2", "good 3"} {
		add(t, db, messages(topic, 2)...)
	}
	if _, err := outbox.NewRelay(db, b, "pubsub").Round(t.Context()); !errors.Is(err, errDown) || !strings.Contains(err.Error(), "bad") {
		t.Errorf("Round = %v, want an error that names the topic", err)
	}
	if rows, claimed := left(t, db); rows != 2 || claimed != 0 {
		t.Errorf("%d rows kept, %d claimed, want the 2 of the bad topic, free", rows, claimed)
	}
}

// If a full portion fails, Round does not ask for another round at once.
func TestFailedPortionAsksForNoMore(t *testing.T) {
	db := open(t)
	b := &broker{fail: func(_ context.Context, _ string, events []sidecar.Event) (map[string]bool, error) {
		return all(events), errDown
	}}
	add(t, db, messages("topic", 200)...)
	if more, err := outbox.NewRelay(db, b, "pubsub").Round(t.Context()); more || err == nil {
		t.Errorf("Round = %t, %v", more, err)
	}
}

// crash runs a round that ends like a killed process, after the broker has received the events.
func crash(t *testing.T, db *sqldb.DB) (sent []sidecar.Event) {
	t.Helper()
	b := &broker{fail: func(_ context.Context, _ string, events []sidecar.Event) (map[string]bool, error) {
		sent = events
		panic("SIGKILL")
	}}
	defer func() {
		if p := recover(); p != "SIGKILL" {
			t.Errorf("recovered %v", p)
		}
	}()
	_, _ = outbox.NewRelay(db, b, "pubsub").Round(t.Context())
	return sent
}

// A relay is killed after it has published events and before it deletes them. No relay sends the events while the claim
// lasts. Then any relay sends them, with the same ids.
func TestKilledRelayIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, b := open(t), new(broker)
		defer db.Close()
		add(t, db, messages("topic", 5)...)
		sent := crash(t, db)
		if rows, claimed := left(t, db); rows != 5 || claimed != 5 {
			t.Fatalf("after the kill: %d rows, %d claimed, want 5 and 5", rows, claimed)
		}
		second := outbox.NewRelay(db, b, "pubsub")
		time.Sleep(14 * time.Second)
		round(t, second)
		if len(b.calls) != 0 {
			t.Errorf("sent again while the claim lasts: %v", b.calls)
		}
		time.Sleep(2 * time.Second)
		round(t, second)
		if len(b.calls) != 1 {
			t.Fatalf("%d calls after the claim has expired, want one", len(b.calls))
		}
		if diff := cmp.Diff(sent, b.calls[0].events); diff != "" {
			t.Errorf("sent again otherwise (-first +again):\n%s", diff)
		}
		if rows, _ := left(t, db); rows != 0 {
			t.Errorf("%d rows are left", rows)
		}
	})
}

// The relay gives up on a publisher that hangs after half the claim, so that the claim does not expire during the call.
func TestHangingPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := open(t)
		defer db.Close()
		b := &broker{fail: func(ctx context.Context, _ string, events []sidecar.Event) (map[string]bool, error) {
			<-ctx.Done()
			return all(events), ctx.Err()
		}}
		add(t, db, messages("topic", 3)...)
		begin := time.Now()
		_, err := outbox.NewRelay(db, b, "pubsub").Round(t.Context())
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took > 20*time.Second {
			t.Errorf("Round = %v after %v", err, took)
		}
		if rows, claimed := left(t, db); rows != 3 || claimed != 0 {
			t.Errorf("%d rows, %d claimed, want 3 and 0", rows, claimed)
		}
	})
}

// A service that stops during a round deletes the events that the broker has confirmed, and gives back the claims of the
// others.
func TestStopDuringARound(t *testing.T) {
	for name, test := range map[string]struct {
		confirmed bool
		kept      int
	}{"confirmed": {true, 0}, "not confirmed": {false, 3}} {
		db := open(t)
		ctx, stop := context.WithCancel(t.Context())
		b := &broker{fail: func(ctx context.Context, _ string, events []sidecar.Event) (map[string]bool, error) {
			stop()
			if test.confirmed {
				return nil, nil
			}
			return all(events), ctx.Err()
		}}
		add(t, db, messages("topic", 3)...)
		_, _ = outbox.NewRelay(db, b, "pubsub").Round(ctx)
		if rows, claimed := left(t, db); rows != test.kept || claimed != 0 {
			t.Errorf("%s: %d rows, %d claimed, want %d and 0", name, rows, claimed, test.kept)
		}
	}
}

// The database fails after the broker has confirmed the events. They stay, and are sent again with the same ids.
func TestDatabaseLostAfterPublishing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	db, err := sqldb.Open(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), migrations); err != nil {
		t.Fatal(err)
	}
	add(t, db, messages("topic", 3)...)
	b := &broker{fail: func(context.Context, string, []sidecar.Event) (map[string]bool, error) { return nil, db.Close() }}
	if _, err := outbox.NewRelay(db, b, "pubsub").Round(t.Context()); err == nil {
		t.Error("a round that could not forget its events is no error")
	}
	again, err := sqldb.Open(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if rows, claimed := left(t, again); rows != 3 || claimed != 3 {
		t.Errorf("%d rows, %d claimed, want 3 and 3", rows, claimed)
	}
}

// Several relays run at once. With a broker that fails at random, every event arrives and no row is left. With a broker that
// does not fail, no event is sent twice.
func TestSeveralRelays(t *testing.T) { sqldbtest.Each(t, testSeveralRelays) }

func testSeveralRelays(t *testing.T, engine sqldbtest.Engine) {
	for name, chance := range map[string]float64{"reliable": 0, "failing": 0.3} {
		t.Run(name, func(t *testing.T) {
			db := engine.Open(t, migrations)
			const events = 900
			var mu sync.Mutex
			confirmed := map[string]int{}
			b := &broker{fail: func(_ context.Context, _ string, events []sidecar.Event) (map[string]bool, error) {
				mu.Lock()
				defer mu.Unlock()
				failed := map[string]bool{}
				for _, e := range events {
					if rand.Float64() < chance {
						failed[e.ID] = true
						continue
					}
					confirmed[e.ID]++
				}
				if len(failed) > 0 {
					return failed, errDown
				}
				return nil, nil
			}}
			var relays sync.WaitGroup
			done := make(chan struct{})
			for range 3 {
				relays.Go(func() {
					relay := outbox.NewRelay(db, b, "pubsub")
					for {
						more, err := relay.Round(t.Context())
						if err != nil && !errors.Is(err, errDown) {
							t.Error(err)
							return
						}
						if more || err != nil {
							continue
						}
						select {
						case <-done:
							if rows, _ := left(t, db); rows == 0 {
								return
							}
						case <-time.After(time.Millisecond):
						}
					}
				})
			}
			for i := range events / 50 {
				add(t, db, messages(fmt.Sprint("topic ", i%2), 50)...)
			}
			close(done)
			relays.Wait()
			if len(confirmed) != events {
				t.Errorf("%d events arrived, want %d", len(confirmed), events)
			}
			if rows, _ := left(t, db); rows != 0 {
				t.Errorf("%d rows are left", rows)
			}
			if most := slices.Max(slices.Collect(maps.Values(confirmed))); most != 1 {
				t.Errorf("an event was confirmed %d times though no relay was lost", most)
			}
		})
	}
}

// Another relay, which looks for rows to claim, has locked a row whose event this relay has just sent. This relay waits
// until it can delete the row.
func TestRowLockedForAMoment(t *testing.T) { sqldbtest.Each(t, testRowLockedForAMoment) }

func testRowLockedForAMoment(t *testing.T, engine sqldbtest.Engine) {
	db := engine.Open(t, migrations)
	add(t, db, messages("topic", 3)...)
	var released sync.WaitGroup
	b := &broker{fail: func(ctx context.Context, _ string, events []sidecar.Event) (map[string]bool, error) {
		locked := make(chan error)
		released.Go(func() {
			_ = db.InTx(context.WithoutCancel(ctx), func(tx *sql.Tx) error {
				_, err := tx.Exec("UPDATE outbox SET claimed_until = claimed_until WHERE id = "+sqldb.Args(1, 1), events[1].ID)
				locked <- err
				time.Sleep(20 * time.Millisecond) // the relay tries for about 127 ms
				return err
			})
		})
		return nil, <-locked
	}}
	round(t, outbox.NewRelay(db, b, "pubsub"))
	released.Wait()
	if rows, _ := left(t, db); rows != 0 {
		t.Errorf("%d rows are left, want none", rows)
	}
}

func TestGaugesShowALaggingRelay(t *testing.T) {
	for name, age := range map[string]string{"old": " - 60000000", "from the future, since the clock has gone back": " + 60000000"} {
		t.Run(name, func(t *testing.T) { testGaugesShowALaggingRelay(t, age) })
	}
}

func testGaugesShowALaggingRelay(t *testing.T, age string) {
	db := open(t)
	b := &broker{fail: func(_ context.Context, _ string, events []sidecar.Event) (map[string]bool, error) {
		return all(events), errDown
	}}
	relay := outbox.NewRelay(db, b, "pubsub")
	err := db.InTx(t.Context(), func(tx *sql.Tx) error {
		return outbox.Of(db).Add(t.Context(), tx, db.Now()+age, messages("topic", 3))
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = relay.Round(t.Context())
	measure(t, relay)
	if waiting, age := gauge(t, "bankmore_outbox_waiting"), gauge(t, "bankmore_outbox_oldest_seconds"); waiting != 3 || age < 50 || age > 70 {
		t.Errorf("%v waiting, the oldest for %v s, want 3 and about 60", waiting, age)
	}
	b.fail = nil
	round(t, relay)
	measure(t, relay)
	if waiting, age := gauge(t, "bankmore_outbox_waiting"), gauge(t, "bankmore_outbox_oldest_seconds"); waiting != 0 || age != 0 {
		t.Errorf("%v waiting, the oldest for %v s, want 0 and 0", waiting, age)
	}
}

func measure(t *testing.T, relay *outbox.Relay) {
	t.Helper()
	if _, err := relay.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func gauge(t *testing.T, name string) float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// An event goes on with the trace of the work that it is about, whatever the events beside it go on with. The call that publishes them
// is part of the first of these traces, and links to the others.
func TestEventsGoOnWithTheirTraces(t *testing.T) {
	spans := telemetrytest.Record(t)
	db, b := open(t), new(broker)
	var callers []trace.SpanContext
	written := messages("topic", 3)
	for i := range 2 {
		ctx, span := spans.Start("caller")
		written[i].TraceParent = telemetry.TraceParent(ctx)
		callers = append(callers, span.SpanContext())
		span.End()
	}
	add(t, db, written...)
	round(t, outbox.NewRelay(db, b, "pubsub"))
	if len(b.calls) != 1 {
		t.Fatalf("%d calls", len(b.calls))
	}
	for i, e := range b.calls[0].events {
		if e.TraceParent != written[i].TraceParent {
			t.Errorf("event %d goes on with %q, want %q", i, e.TraceParent, written[i].TraceParent)
		}
	}
	send := spans.One("send topic")
	if send.Parent().SpanID() != callers[0].SpanID() || !slices.Equal(telemetrytest.Links(send), []trace.SpanID{callers[1].SpanID()}) {
		t.Errorf("parent %v, links %v", send.Parent(), send.Links())
	}
}
