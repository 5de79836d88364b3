package httpapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/telemetry"
	"github.com/bankmore/bankmore/platform/web"
	"github.com/bankmore/bankmore/transfer-svc/transferapi"
)

// maxDeliveryBytes bounds a delivery. A bulk of 100 entries fits, each at the broker's limit of 1 MiB for a message and with
// its envelope. If fee-svc refused a delivery for its size, daprd would repeat it for ever.
const maxDeliveryBytes = 128 << 20

// deadLetterTimeout bounds the time to publish all dead letters of one delivery.
const deadLetterTimeout = 5 * time.Second

// verdict is the answer to one event, as Dapr reads it. Dapr also knows DROP, which fee-svc must not use: if another entry
// of the same bulk needs a retry, daprd 1.18 loses the event, or dead-letters another one, or crashes (DeliverBulk in its
// pkg/runtime/subscription/postman/http).
type verdict string

const (
	success verdict = "SUCCESS" // the event's fee is in the database, or the event is in the dead-letter topic
	retry   verdict = "RETRY"   // daprd delivers the event again; meanwhile the later events wait
)

// The answers to a bulk delivery and to a single one. Their HTTP status is always 200: after 404 daprd drops all events of
// the delivery, and after other statuses it repeats the good ones together with the bad ones.
type (
	bulkAnswer struct {
		Statuses []entryVerdict `json:"statuses"`
	}
	entryVerdict struct {
		EntryID string  `json:"entryId"`
		Status  verdict `json:"status"`
	}
	singleAnswer struct {
		Status verdict `json:"status"`
	}
)

var (
	consumed = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "bankmore_fee_events_total",
		Help: "Events of completed transfers, by result (accepted, duplicate, dead_lettered, retried).",
	}, []string{"result"})
	newest = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "bankmore_fee_events_newest_timestamp_seconds",
		Help: "When fee-svc last acknowledged an event, or began to wait for one.",
	})
	delay = promauto.NewHistogram(prometheus.HistogramOpts{
		Name: "bankmore_fee_event_delay_seconds", Help: "Time from a transfer's completion until its fee is recorded.",
		Buckets: []float64{.1, .25, .5, 1, 5, 30, 300},
	})
)

// init creates every series with the value 0, so that an alert rule can tell "zero" from "no data". The newest event is as old as
// this process: an alert rule compares it with what was published since.
func init() {
	newest.SetToCurrentTime()
	for _, result := range []string{"accepted", "duplicate", "dead_lettered", "retried"} {
		consumed.WithLabelValues(result)
	}
}

// recorder records the fees of transfers; see fee.Service.Record. *fee.Service implements it.
type recorder interface {
	Record(ctx context.Context, transfers []fee.Transfer) (added []bool, errs []error)
}

// subscriber consumes the events of completed transfers.
type subscriber struct {
	recorder   recorder
	deadLetter func(ctx context.Context, message []byte) error
}

// completed answers a delivery, bulk or single. It answers SUCCESS to an event only if the event's fee is in the database,
// or if fee-svc cannot understand the event and has put it into the dead-letter topic.
func (s subscriber) completed(r *http.Request) (web.Answer, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxDeliveryBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return web.Answer{}, web.ErrTooLarge
	case err != nil:
		return web.Answer{}, web.ErrMalformedJSON.Because(err) // the connection broke before the end of the body
	}
	d := readDelivery(r.Context(), body)
	verdicts := s.judge(r.Context(), d.messages)
	if !d.bulk {
		return web.JSON(http.StatusOK, singleAnswer{Status: verdicts[0]})
	}
	answer := bulkAnswer{Statuses: make([]entryVerdict, len(verdicts))}
	for i, v := range verdicts {
		answer.Statuses[i] = entryVerdict{EntryID: d.entryIDs[i], Status: v}
	}
	return web.JSON(http.StatusOK, answer)
}

// judge records the fees of the messages that it can read, keeps the other messages as dead letters, and answers each.
func (s subscriber) judge(ctx context.Context, messages [][]byte) []verdict {
	verdicts := make([]verdict, len(messages))
	var transfers []fee.Transfer
	var completions []time.Time // of transfers
	var places []int            // of transfers among the messages
	var bad []deadLetter
	var spans []trace.SpanContext // those that go on with the transfers' traces
	for i, message := range messages {
		id, completed, err := transferapi.ReadCompleted(message)
		if err != nil {
			bad = append(bad, deadLetter{place: i, message: message, id: id, why: err})
			continue
		}
		t := fee.Transfer{ID: completed.ID, AccountNumber: completed.OriginAccountNumber, Amount: completed.Amount}
		if span := telemetry.SpanOf(completed.TraceParent); span.IsSampled() && telemetry.Tracing() {
			t.TraceParent, spans = telemetry.Header(span), append(spans, span)
		}
		transfers, completions, places = append(transfers, t), append(completions, completed.CompletedAt), append(places, i)
	}
	batch.Observe("receive events", len(messages))
	ctx, span := telemetry.Joint(ctx, "process "+transferapi.TopicCompleted, spans, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		semconv.MessagingOperationTypeProcess, semconv.MessagingDestinationName(transferapi.TopicCompleted),
		semconv.MessagingBatchMessageCount(len(messages))))
	defer span.End()
	s.record(ctx, transfers, completions, places, verdicts) // before the dead letters, so that good events do not wait for bad ones
	s.bury(ctx, bad, verdicts)
	return verdicts
}

func (s subscriber) record(ctx context.Context, transfers []fee.Transfer, completions []time.Time, places []int, verdicts []verdict) {
	added, errs := s.recorder.Record(ctx, transfers)
	failed := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
	if len(failed) > 0 {
		slog.ErrorContext(ctx, "events not recorded, to be delivered again", "topic", transferapi.TopicCompleted, "events", len(failed), "error", failed[0])
	}
	for i, place := range places {
		result := "duplicate"
		verdicts[place] = success
		switch {
		case errs[i] != nil:
			verdicts[place], result = retry, "retried"
		case added[i]:
			result = "accepted"
			if !completions[i].IsZero() { // an event need not have it
				delay.Observe(time.Since(completions[i]).Seconds())
			}
		}
		if verdicts[place] == success {
			newest.SetToCurrentTime()
		}
		consumed.WithLabelValues(result).Inc()
	}
}

// deadLetter is a message that fee-svc cannot understand, with the reason.
type deadLetter struct {
	place   int // among the messages
	message []byte
	id      string // of the CloudEvent; "" if it cannot be read
	why     error
}

// bury publishes dead letters to their topic. After the first failure it does not try the others, since each would take as
// long to fail: daprd delivers them again.
func (s subscriber) bury(ctx context.Context, letters []deadLetter, verdicts []verdict) {
	ctx, cancel := context.WithTimeout(ctx, deadLetterTimeout)
	defer cancel()
	var err error
	for _, l := range letters {
		if err == nil {
			err = s.deadLetter(ctx, l.message)
		}
		if err != nil {
			verdicts[l.place] = retry
			consumed.WithLabelValues("retried").Inc()
			slog.ErrorContext(ctx, "event not understood and not kept, to be delivered again", "topic", transferapi.TopicCompleted,
				"cloudevent_id", shortened(l.id), "error", errors.Join(l.why, err))
			continue
		}
		verdicts[l.place] = success
		newest.SetToCurrentTime()
		consumed.WithLabelValues("dead_lettered").Inc()
		slog.WarnContext(ctx, "event not understood, kept as a dead letter", "topic", transferapi.TopicCompleted,
			"cloudevent_id", shortened(l.id), "error", l.why)
	}
}

// delivery is what daprd posts: one message, or a bulk of entries, each with a message and an id for the answer.
type delivery struct {
	bulk     bool
	entryIDs []string // of a bulk
	messages [][]byte // as the broker has them
}

// lenient are the options for reading envelopes: a defect inside one event must not make the whole bulk unreadable. Each
// event is read strictly afterwards.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// readDelivery splits body into messages. A body that is no bulk envelope counts as a single event, even if it is not JSON.
// readDelivery leaves out an entry whose id it cannot read, since there is no way to answer it. daprd delivers an entry
// without an answer again.
func readDelivery(ctx context.Context, body []byte) delivery {
	var envelope struct {
		SpecVersion jsontext.Value `json:"specversion"` // of a CloudEvent, not of a bulk envelope
		Entries     jsontext.Value `json:"entries"`
	}
	single := delivery{messages: [][]byte{unwrapped(body)}}
	if err := json.Unmarshal(body, &envelope, lenient); err != nil || envelope.SpecVersion != nil || envelope.Entries == nil {
		return single
	}
	var entries []jsontext.Value
	if err := json.Unmarshal(envelope.Entries, &entries, lenient); err != nil {
		return single
	}
	d := delivery{bulk: true}
	for _, raw := range entries {
		var entry struct {
			EntryID string         `json:"entryId"`
			Event   jsontext.Value `json:"event"`
		}
		if err := json.Unmarshal(raw, &entry, lenient); err != nil || entry.EntryID == "" {
			slog.WarnContext(ctx, "bulk entry without an id", "topic", transferapi.TopicCompleted, "error", err)
			continue
		}
		d.entryIDs, d.messages = append(d.entryIDs, entry.EntryID), append(d.messages, messageOf(entry.Event))
	}
	return d
}

// messageOf returns the broker's message from the event of a bulk entry. If the subscription asks for raw payloads, the event
// is the message in base64, which need not be JSON. Else the event is the message itself.
func messageOf(event jsontext.Value) []byte {
	var raw []byte // in JSON: a base64 string
	if event.Kind() == '"' && json.Unmarshal(event, &raw) == nil {
		return raw
	}
	return event
}

// unwrapped returns the broker's message from a single delivery. daprd wraps a raw payload in a CloudEvent of its own; then
// the message is the data of that CloudEvent. Else the message is body.
func unwrapped(body []byte) []byte {
	var wrapper struct {
		Type       string `json:"type"`
		DataBase64 []byte `json:"data_base64"`
	}
	const typeOfWrappers = "com.dapr.event.sent"
	if err := json.Unmarshal(body, &wrapper, lenient); err == nil && wrapper.Type == typeOfWrappers && wrapper.DataBase64 != nil {
		return wrapper.DataBase64
	}
	return body
}

// maxLoggedID is how much of an event's id a log line shows, in bytes. The id may be of any length.
const maxLoggedID = 128

func shortened(id string) string {
	if len(id) > maxLoggedID {
		return id[:maxLoggedID] + "…"
	}
	return id
}
