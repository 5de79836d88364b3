// Package outbox publishes events at least once. A service writes an event as a row in the same transaction as the change
// that the event is about. Later a relay publishes the row through the sidecar and deletes it.
//
// Each service's migrations create the table:
//
//	CREATE TABLE outbox (
//	    id            TEXT PRIMARY KEY, -- UUIDv7: ordered by time; the id of the CloudEvent
//	    topic         TEXT NOT NULL,
//	    partition_key TEXT NOT NULL,
//	    payload       TEXT NOT NULL,    -- JSON
//	    traceparent   TEXT,             -- see Message.TraceParent
//	    created_at    BIGINT NOT NULL,  -- microseconds
//	    claimed_until BIGINT NOT NULL   -- microseconds; until then a relay is sending it
//	)
package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/crashpoint"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/telemetry"
)

// Message is an event to be published. Its topic is also the CloudEvent's type.
type Message struct {
	// ID is a UUIDv7, unique in the outbox. If the thing that the event is about has one event only, it is the id of that
	// thing. For "" the outbox draws an id.
	ID           string
	Topic        string
	PartitionKey string
	Payload      []byte // JSON
	// TraceParent is telemetry.TraceParent of the work that the event is about. Consumers go on with that trace. It may be "".
	TraceParent string
}

// Publisher is the part of the sidecar that the relay needs.
type Publisher interface {
	Publish(ctx context.Context, pubsub, topic string, events []sidecar.Event) (failed map[string]bool, err error)
}

// Relay publishes the rows of the outbox. Each replica may run one: a relay claims rows before it sends them. The claims of
// a relay that died expire, by the database's clock. At worst a message is sent twice.
type Relay struct {
	db        *sqldb.DB
	engine    engine
	publisher Publisher
	pubsub    string
}

const (
	// portion bounds the rows of a round.
	portion = 200
	// lockPatience bounds how long a relay waits for rows that another transaction has locked.
	lockPatience = 256 * time.Millisecond
	// claimDuration is how long a claim holds. The broker may take half of it. The events of a killed relay wait that long.
	claimDuration = 15 * time.Second
)

var (
	published = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "bankmore_outbox_published_total", Help: "Events that the broker has confirmed, by topic.",
	}, []string{"topic"})
	newest = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "bankmore_outbox_newest_published_timestamp_seconds", Help: "When the broker last confirmed an event, by topic.",
	}, []string{"topic"})
	waiting = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "bankmore_outbox_waiting", Help: "Events not yet confirmed by the broker.",
	})
	oldest = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "bankmore_outbox_oldest_seconds", Help: "Age of the oldest event not yet confirmed by the broker.",
	})
)

// NewRelay returns a relay that publishes to the Dapr pub/sub component of that name.
func NewRelay(db *sqldb.DB, publisher Publisher, pubsub string) *Relay {
	return &Relay{db: db, engine: engineOf(db), publisher: publisher, pubsub: pubsub}
}

type row struct {
	id, topic, partitionKey, payload string
	traceParent                      sql.NullString
}

// Round publishes one portion, oldest first; it is a service.Round.
func (r *Relay) Round(ctx context.Context) (more bool, err error) {
	rows, err := r.claim(ctx)
	if err != nil || len(rows) == 0 {
		return false, err
	}
	crashpoint.Reach("outbox", "claimed")
	byTopic := map[string][]sidecar.Event{}
	for _, row := range rows {
		byTopic[row.topic] = append(byTopic[row.topic], sidecar.Event{
			ID: row.id, Type: row.topic, PartitionKey: row.partitionKey, Data: []byte(row.payload), TraceParent: row.traceParent.String,
		})
	}
	var problems error
	for topic, events := range byTopic {
		problems = errors.Join(problems, r.send(ctx, topic, events)) // one topic's failure does not hold up the others
	}
	return problems == nil && len(rows) == portion, problems
}

func (r *Relay) send(ctx context.Context, topic string, events []sidecar.Event) error {
	sendCtx, cancel := context.WithTimeout(ctx, claimDuration/2)
	defer cancel()
	sendCtx, span := publishing(sendCtx, topic, events)
	failures, publishErr := r.publish(sendCtx, topic, events)
	telemetry.End(span, publishErr)
	crashpoint.Reach("outbox", "published")
	var sent, unsent []string
	for _, e := range events {
		switch failures[e.ID] {
		case confirmed:
			sent = append(sent, e.ID)
		case failedWithOthers:
			unsent = append(unsent, e.ID)
		case failedAlone: // its claim stays until it expires, so that the next rounds send other events
		}
	}
	// Settle even while the service stops, or the confirmed events would be sent again.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), claimDuration/2)
	defer cancel()
	if err := r.settle(ctx, sent, unsent); err != nil {
		return err
	}
	if len(sent) > 0 {
		published.WithLabelValues(topic).Add(float64(len(sent)))
		newest.WithLabelValues(topic).SetToCurrentTime()
	}
	if publishErr != nil {
		return fmt.Errorf("publishing %d of %d events to %s: %w", len(events)-len(sent), len(events), topic, publishErr)
	}
	return nil
}

// publishing starts the span of a call that publishes events: OpenTelemetry's for messages that are sent in a batch.
func publishing(ctx context.Context, topic string, events []sidecar.Event) (context.Context, trace.Span) {
	if !telemetry.Tracing() {
		return telemetry.Joint(ctx, "", nil)
	}
	spans := make([]trace.SpanContext, len(events))
	for i, e := range events {
		spans[i] = telemetry.SpanOf(e.TraceParent)
	}
	return telemetry.Joint(ctx, "send "+topic, spans, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		semconv.MessagingOperationTypeSend, semconv.MessagingDestinationName(topic), semconv.MessagingBatchMessageCount(len(events))))
}

// failure says whether an event was confirmed, and how it failed if not.
type failure int

const (
	confirmed failure = iota
	failedWithOthers
	failedAlone
)

// publish sends events and returns how each unconfirmed one failed. An event that the sidecar or the broker refuses may
// fail all events of its call. So if all events fail together and one alone does not, publish sends the others in ever
// smaller parts, until each event that fails stands alone.
func (r *Relay) publish(ctx context.Context, topic string, events []sidecar.Event) (map[string]failure, error) {
	failures := map[string]failure{}
	// try sends some of events and reports whether any was confirmed.
	try := func(events []sidecar.Event, how failure) (works bool, err error) {
		batch.Observe("publish events", len(events))
		failed, err := r.publisher.Publish(ctx, r.pubsub, topic, events)
		for _, e := range events {
			delete(failures, e.ID)
			if failed[e.ID] || (err != nil && len(failed) == 0) { // an error that names no event is about all of them
				failures[e.ID] = how
			}
		}
		return slices.ContainsFunc(events, func(e sidecar.Event) bool { return failures[e.ID] == confirmed }), err
	}
	works, err := try(events, failedWithOthers)
	if err == nil || works || len(events) == 1 {
		return failures, err
	}
	// Does the broker fail, or one of the events? Send the first event alone. It may be the bad one: then send another one,
	// drawn at random.
	first, other := events[:1], events[1+rand.IntN(len(events)-1):] //nolint:gosec // no secret
	for _, probe := range [][]sidecar.Event{first, other[:1]} {
		if works, _ = try(probe, failedWithOthers); works {
			break
		}
	}
	if !works {
		return failures, err
	}
	var divide func(events []sidecar.Event)
	divide = func(events []sidecar.Event) {
		events = slices.DeleteFunc(slices.Clone(events), func(e sidecar.Event) bool { return failures[e.ID] == confirmed })
		how := failedWithOthers
		if len(events) == 1 {
			how = failedAlone
		}
		if len(events) == 0 || ctx.Err() != nil {
			return
		}
		if works, _ := try(events, how); !works && len(events) > 1 {
			divide(events[:len(events)/2])
			divide(events[len(events)/2:])
		}
	}
	divide(events)
	return failures, err
}

// settle deletes the rows of sent events and gives back the claims of unsent ones. Another relay that looks for rows to claim
// may lock, for a moment, rows that this relay has just claimed. So settle retries locked rows for lockPatience at most. The claim of
// a row that stays locked expires, and its event is sent again.
func (r *Relay) settle(ctx context.Context, sent, unsent []string) error {
	try := func() (struct{}, error) {
		var lockedSent, lockedUnsent []string
		err := r.db.InTx(ctx, func(tx *sql.Tx) (err error) {
			if lockedSent, err = r.each(ctx, tx, "DELETE FROM outbox", sent); err != nil {
				return err
			}
			lockedUnsent, err = r.each(ctx, tx, "UPDATE outbox SET claimed_until = 0", unsent)
			return err
		})
		if err != nil {
			return struct{}{}, backoff.Permanent(err)
		}
		if sent, unsent = lockedSent, lockedUnsent; len(sent)+len(unsent) > 0 {
			return struct{}{}, errLocked
		}
		return struct{}{}, nil
	}
	pauses := &backoff.ExponentialBackOff{InitialInterval: time.Millisecond, Multiplier: 2, MaxInterval: lockPatience}
	_, err := backoff.Retry(ctx, try, backoff.WithBackOff(pauses), backoff.WithMaxElapsedTime(lockPatience))
	if errors.Is(err, errLocked) {
		return nil
	}
	return err
}

// errLocked says that rows were still locked at the last try.
var errLocked = errors.New("another transaction has locked rows of the outbox")

// each runs a statement for the rows with these ids, and returns the ids of those that another transaction has locked.
func (r *Relay) each(ctx context.Context, tx *sql.Tx, statement string, ids []string) (locked []string, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	isOneOf, args := r.engine.isOneOf(ids)
	result, err := tx.QueryContext(ctx, statement+" WHERE id "+r.db.Among("SELECT id FROM outbox WHERE id "+isOneOf+r.engine.skipLocked)+" RETURNING id", args...)
	if err != nil {
		return nil, err
	}
	defer result.Close()
	done := map[string]bool{}
	for result.Next() {
		var id string
		if err := result.Scan(&id); err != nil {
			return nil, err
		}
		done[id] = true
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return done[id] }), result.Err()
}

func (r *Relay) claim(ctx context.Context) (rows []row, err error) {
	err = r.db.InTx(ctx, func(tx *sql.Tx) error {
		rows = nil
		now := r.db.Now()
		result, err := tx.QueryContext(ctx, `
			WITH free AS (SELECT id FROM outbox WHERE claimed_until <= `+now+` ORDER BY id LIMIT $1`+r.engine.skipLocked+`)
			UPDATE outbox SET claimed_until = `+now+` + $2 WHERE id `+r.db.Among("SELECT id FROM free")+`
			RETURNING `+messageColumns, portion, claimDuration.Microseconds())
		if err != nil {
			return err
		}
		defer result.Close()
		for result.Next() {
			var row row
			if err := result.Scan(&row.id, &row.topic, &row.partitionKey, &row.payload, &row.traceParent); err != nil {
				return err
			}
			rows = append(rows, row)
		}
		return result.Err()
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.id, b.id) }) // RETURNING keeps no order
	return rows, nil
}

// Measure sets the gauges that show a relay falling behind; it is a service.Round. It counts the rows of the whole table, so
// it must not run often.
func (r *Relay) Measure(ctx context.Context) (more bool, err error) {
	var count, age int64
	now := r.db.Now() // an event from the future was written before the database's clock went back; it counts as well
	err = r.db.Read().QueryRowContext(ctx, "SELECT count(*), coalesce(max(abs("+now+" - created_at)), 0) FROM outbox").Scan(&count, &age)
	if err != nil {
		return false, sqldb.Away(err)
	}
	waiting.Set(float64(count))
	oldest.Set((time.Duration(age) * time.Microsecond).Seconds())
	return false, nil
}
