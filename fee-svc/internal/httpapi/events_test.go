package httpapi_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/httpapi"
	"github.com/bankmore/bankmore/platform/telemetry/telemetrytest"
)

func cursorOf(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// cloudEvent returns an event as daprd delivers it.
func cloudEvent(data string) string {
	return `{"data":` + data + `,"datacontenttype":"application/json","id":"0190f3a1-7b01-7000-8000-000000000001",` +
		`"pubsubname":"pubsub","source":"transfer-svc","specversion":"1.0","time":"2026-01-02T03:04:05Z","topic":"transfers-completed",` +
		`"traceid":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","type":"transfers-completed"}`
}

func completed(id string) string {
	return `{"id":"` + id + `","request_id":"r||1/é","origin_account_number":"7907027952","destination_account_number":"18",` +
		`"amount":"150.00","completed_at":"2026-01-02T03:04:05.678901Z"}`
}

// bulk returns a bulk delivery of messages as daprd builds it for a subscription to raw payloads. The entry ids are 0, 1, 2, …
func bulk(messages ...string) string {
	entries := make([]string, len(messages))
	for i, message := range messages {
		entries[i] = fmt.Sprintf(`{"entryId":"%d","event":"%s","metadata":{"__key":"7907027952"},"contentType":"application/octet-stream"}`,
			i, base64.StdEncoding.EncodeToString([]byte(message)))
	}
	return bulkOf(entries)
}

// parsedBulk returns a bulk delivery as daprd builds it for a subscription to CloudEvents.
func parsedBulk(events ...string) string {
	entries := make([]string, len(events))
	for i, event := range events {
		entries[i] = fmt.Sprintf(`{"entryId":"%d","event":%s,"metadata":null,"contentType":"application/cloudevents+json"}`, i, event)
	}
	return bulkOf(entries)
}

func bulkOf(entries []string) string {
	return `{"entries":[` + strings.Join(entries, ",") + `],"id":"2d1ec4a6-6a63-4c0a-8a50-3a7d0a0c7a11","metadata":{"pubsubName":"pubsub"},` +
		`"pubsubname":"pubsub","topic":"transfers-completed","type":"com.dapr.event.sent.bulk"}`
}

// wrapped returns a single delivery of a raw payload.
func wrapped(message string) string {
	return `{"data_base64":"` + base64.StdEncoding.EncodeToString([]byte(message)) + `","datacontenttype":"application/octet-stream",` +
		`"id":"4a1f","pubsubname":"pubsub","source":"Dapr","specversion":"1.0","topic":"transfers-completed","type":"com.dapr.event.sent"}`
}

// statuses returns the answer to a bulk delivery with these statuses.
func statuses(all ...string) string {
	for i, status := range all {
		all[i] = fmt.Sprintf(`{"entryId":"%d","status":"%s"}`, i, status)
	}
	return `{"statuses":[` + strings.Join(all, ",") + `]}`
}

func TestBulkDelivery(t *testing.T) {
	s := newEdge(t, 200)
	bad := `{"a":1}`
	status, answer := s.deliver(bulk(
		cloudEvent(completed(transferID(1))),
		bad,
		cloudEvent(completed(transferID(2))),
		cloudEvent(completed(transferID(1))), // twice in one bulk
		"null",
		cloudEvent(strings.Replace(completed(transferID(3)), `"150.00"`, `"-1"`, 1)),
		cloudEvent(completed(transferID(4))),
	))
	want := statuses("SUCCESS", "SUCCESS", "SUCCESS", "SUCCESS", "SUCCESS", "SUCCESS", "SUCCESS")
	if status != 200 || answer != want {
		t.Errorf("%d %s", status, answer)
	}
	var recorded []string
	for _, f := range s.fees(ana) {
		recorded = append(recorded, f.TransferID)
		if f.Status != fee.Pending || f.Amount != 200 {
			t.Errorf("%+v", f)
		}
	}
	if diff := cmp.Diff([]string{transferID(4), transferID(2), transferID(1)}, recorded); diff != "" {
		t.Error(diff)
	}
	if len(s.broker.kept) != 3 || s.broker.kept[0] != bad || s.broker.kept[1] != "null" || !strings.Contains(s.broker.kept[2], transferID(3)) {
		t.Errorf("dead letters: %q", s.broker.kept)
	}
	select {
	case <-s.due:
	default:
		t.Error("the collector was not woken")
	}

	// All of it again: nothing new.
	if status, answer := s.deliver(bulk(cloudEvent(completed(transferID(4))), cloudEvent(completed(transferID(1))))); status != 200 || answer != statuses("SUCCESS", "SUCCESS") {
		t.Errorf("again: %d %s", status, answer)
	}
	if got := len(s.fees(ana)); got != 3 {
		t.Errorf("%d fees", got)
	}
	if status, answer := s.deliver(bulk()); status != 200 || answer != `{"statuses":[]}` {
		t.Errorf("empty: %d %s", status, answer)
	}
}

func TestSingleDelivery(t *testing.T) {
	s := newEdge(t, 200)
	event := cloudEvent(completed(transferID(1)))
	for _, body := range []string{event, event, wrapped(event)} {
		if status, answer := s.deliver(body); status != 200 || answer != `{"status":"SUCCESS"}` {
			t.Errorf("%d %s", status, answer)
		}
	}
	if fees := s.fees(ana); len(fees) != 1 || len(s.broker.kept) != 0 {
		t.Errorf("%d fees, dead letters %q", len(fees), s.broker.kept)
	}
}

// An event may have members that this version does not know, and its amount may be a JSON number.
func TestEventsMayHaveMore(t *testing.T) {
	s := newEdge(t, 200)
	event := strings.Replace(cloudEvent(strings.Replace(completed(transferID(1)), `"150.00"`, `150, "channel": {"app": [1, null]}`, 1)),
		`"specversion"`, `"tenant":"x","specversion"`, 1)
	for _, body := range []string{bulk(event), parsedBulk(event)} {
		if status, answer := s.deliver(body); status != 200 || answer != statuses("SUCCESS") {
			t.Errorf("%d %s", status, answer)
		}
	}
	if fees := s.fees(ana); len(fees) != 1 || len(s.broker.kept) != 0 {
		t.Errorf("%d fees, dead letters %q", len(fees), s.broker.kept)
	}
}

// badEvents are events that fee-svc can never understand.
var badEvents = map[string]string{
	"empty object":         `{}`,
	"null":                 `null`,
	"number":               `1`,
	"string":               `"no base64"`,
	"array":                `[]`,
	"no CloudEvent":        completed(transferID(1)),
	"no id":                strings.Replace(cloudEvent(completed(transferID(1))), `"id":"0190f3a1-7b01-7000-8000-000000000001",`, "", 1),
	"id is a number":       strings.Replace(cloudEvent(completed(transferID(1))), `"id":"0190f3a1-7b01-7000-8000-000000000001"`, `"id":1`, 1),
	"no source":            strings.Replace(cloudEvent(completed(transferID(1))), `"source":"transfer-svc",`, "", 1),
	"no type":              strings.Replace(cloudEvent(completed(transferID(1))), `,"type":"transfers-completed"`, "", 1),
	"other specversion":    strings.Replace(cloudEvent(completed(transferID(1))), `"1.0"`, `"0.3"`, 1),
	"no data":              strings.Replace(cloudEvent("1"), `"data":1,`, "", 1),
	"data null":            cloudEvent("null"),
	"data empty":           cloudEvent("{}"),
	"data is text":         cloudEvent(`"hello"`),
	"data is text of JSON": cloudEvent(`"{\"id\":\"x\"}"`),
	"data is a list":       cloudEvent("[" + completed(transferID(1)) + "]"),
	"binary data":          strings.Replace(cloudEvent("1"), `"data":1`, `"data_base64":"e30="`, 1),
	"no transfer id":       cloudEvent(completed("")),
	"transfer id no UUID":  cloudEvent(completed("x:fee")),
	"transfer id capitals": cloudEvent(strings.ToUpper(completed(transferID(1)))),
	"amount NaN":           cloudEvent(strings.Replace(completed(transferID(1)), `"150.00"`, `"NaN"`, 1)),
	"amount 1e400":         cloudEvent(strings.Replace(completed(transferID(1)), `"150.00"`, `1e400`, 1)),
	"amount zero":          cloudEvent(strings.Replace(completed(transferID(1)), `"150.00"`, `"0.00"`, 1)),
	"amount negative":      cloudEvent(strings.Replace(completed(transferID(1)), `"150.00"`, `"-1.00"`, 1)),
	"amount 0.001":         cloudEvent(strings.Replace(completed(transferID(1)), `"150.00"`, `"0.001"`, 1)),
	"amount of 16 digits":  cloudEvent(strings.Replace(completed(transferID(1)), `"150.00"`, `"1234567890123456"`, 1)),
	"amount null":          cloudEvent(strings.Replace(completed(transferID(1)), `"150.00"`, `null`, 1)),
	"no amount":            cloudEvent(strings.Replace(completed(transferID(1)), `"amount":"150.00",`, "", 1)),
	"account with letters": cloudEvent(strings.Replace(completed(transferID(1)), "7907027952", "79070X7952", 1)),
	"account too long":     cloudEvent(strings.Replace(completed(transferID(1)), "7907027952", "79070279521", 1)),
	"account a number":     cloudEvent(strings.Replace(completed(transferID(1)), `"7907027952"`, "7907027952", 1)),
	"no account":           cloudEvent(strings.Replace(completed(transferID(1)), `"origin_account_number":"7907027952",`, "", 1)),
	"time of no calendar":  cloudEvent(strings.Replace(completed(transferID(1)), "2026-01-02T", "2026-13-02T", 1)),
	"member twice":         cloudEvent(strings.Replace(completed(transferID(1)), `"amount"`, `"amount":"1.00","amount"`, 1)),
	"other case":           cloudEvent(strings.Replace(completed(transferID(1)), `"amount"`, `"Amount"`, 1)),
}

func TestBadEventsAreKeptAsDeadLetters(t *testing.T) {
	for name, event := range badEvents {
		t.Run(name, func(t *testing.T) {
			s := newEdge(t, 200)
			good, alsoGood := cloudEvent(completed(transferID(8))), cloudEvent(completed(transferID(9)))
			deliveries := []struct{ body, want string }{
				{bulk(event), statuses("SUCCESS")},
				{bulk(good, event, alsoGood), statuses("SUCCESS", "SUCCESS", "SUCCESS")},
				{parsedBulk(good, event, alsoGood), statuses("SUCCESS", "SUCCESS", "SUCCESS")},
				{event, `{"status":"SUCCESS"}`},
				{wrapped(event), `{"status":"SUCCESS"}`},
			}
			for i, d := range deliveries {
				if status, answer := s.deliver(d.body); status != 200 || answer != d.want {
					t.Errorf("delivery %d: %d %s", i, status, answer)
				}
			}
			if diff := cmp.Diff([]string{event, event, event, event, event}, s.broker.kept); diff != "" {
				t.Errorf("dead letters: %s", diff)
			}
			if got := len(s.fees(ana)); got != 2 {
				t.Errorf("%d fees", got)
			}
			// While the broker is down, the bad event is not consumed, but the good ones are.
			s.broker.away = true
			if status, answer := s.deliver(bulk(good, event)); status != 200 || answer != statuses("SUCCESS", "RETRY") {
				t.Errorf("broker away: %d %s", status, answer)
			}
			if status, answer := s.deliver(event); status != 200 || answer != `{"status":"RETRY"}` {
				t.Errorf("broker away, single: %d %s", status, answer)
			}
		})
	}
}

func TestGarbageIsKeptAsADeadLetter(t *testing.T) {
	for _, message := range []string{"", "hello", "{", `{"entries":`, `{"entries":1}`, `{"entries":{}}`, "\xff\xfe\x00", `{"id":"\ud800"}`, strings.Repeat("[", 20000)} {
		s := newEdge(t, 200)
		good := cloudEvent(completed(transferID(1)))
		if status, answer := s.deliver(bulk(message, good)); status != 200 || answer != statuses("SUCCESS", "SUCCESS") {
			t.Errorf("%.20q: %d %s", message, status, answer)
		}
		for _, body := range []string{message, wrapped(message)} {
			if status, answer := s.deliver(body); status != 200 || answer != `{"status":"SUCCESS"}` {
				t.Errorf("%.20q: %d %s", message, status, answer)
			}
		}
		if diff := cmp.Diff([]string{message, message, message}, s.broker.kept); diff != "" {
			t.Errorf("%.20q: %s", message, diff)
		}
		if got := len(s.fees(ana)); got != 1 {
			t.Errorf("%.20q: %d fees", message, got)
		}
	}
}

// A malformed entry, such as daprd never sends, does no harm to the other entries.
func TestStrangeEntries(t *testing.T) {
	s := newEdge(t, 200)
	good := cloudEvent(completed(transferID(1)))
	status, answer := s.deliver(`{"entries":[1, {}, {"entryId":5,"event":{}}, {"entryId":"e"}, {"entryId":"d","event":{"a":1,"a":2}},` +
		`{"entryId":"x","event":"` + "\xff" + `"}, {"entryId":"g","event":` + good + `}], "entries2": null, "id":1}`)
	if want := `{"statuses":[{"entryId":"e","status":"SUCCESS"},{"entryId":"d","status":"SUCCESS"},` +
		`{"entryId":"x","status":"SUCCESS"},{"entryId":"g","status":"SUCCESS"}]}`; status != 200 || answer != want {
		t.Errorf("%d %s", status, answer)
	}
	if got := len(s.fees(ana)); got != 1 || len(s.broker.kept) != 3 {
		t.Errorf("%d fees, dead letters %q", got, s.broker.kept)
	}
}

func TestDatabaseAwayMeansRetry(t *testing.T) {
	s := newEdge(t, 200)
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	good := cloudEvent(completed(transferID(1)))
	if status, answer := s.deliver(bulk(good, `{"a":1}`, good)); status != 200 || answer != statuses("RETRY", "SUCCESS", "RETRY") {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer := s.deliver(good); status != 200 || answer != `{"status":"RETRY"}` {
		t.Errorf("single: %d %s", status, answer)
	}
	if len(s.broker.kept) != 1 {
		t.Errorf("dead letters: %q", s.broker.kept)
	}
}

// The time of the newest event moves when fee-svc acknowledges an event, also a repeated or a bad one. It stands still while nothing
// can be recorded. So an alert can tell a subscription that is dead from one that has nothing to do.
func TestNewestEventIsShown(t *testing.T) {
	newest := func() float64 { return telemetrytest.Value(t, "bankmore_fee_events_newest_timestamp_seconds") }
	delays := func() float64 { return telemetrytest.Value(t, "bankmore_fee_event_delay_seconds") }
	s := newEdge(t, 200)
	if age := float64(time.Now().UnixMicro())/1e6 - newest(); age < 0 || age > 600 {
		t.Errorf("at the start, the newest event is %v s old", age)
	}
	good := cloudEvent(completed(transferID(1)))
	for what, test := range map[string]struct {
		body   string
		delays float64
	}{
		"a new event":  {bulk(cloudEvent(completed(transferID(7)))), 1},
		"a bad one":    {bulk(`{"a":1}`), 0},
		"a single one": {cloudEvent(completed(transferID(8))), 1},
	} {
		before, delayed := newest(), delays()
		s.deliver(test.body)
		if newest() <= before || delays() != delayed+test.delays {
			t.Errorf("%s: from %v to %v, %v delays more", what, before, newest(), delays()-delayed)
		}
		before = newest()
		if s.deliver(test.body); newest() <= before {
			t.Errorf("%s, repeated: still %v", what, before)
		}
	}
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	before := newest()
	if s.deliver(bulk(good)); newest() != before {
		t.Error("nothing was recorded, and the newest event's time moves")
	}
}

// While fees are off, each transfer still gets a fee, which is waived with the reason.
func TestFeesTurnedOff(t *testing.T) {
	s := newEdge(t, 0)
	if status, answer := s.deliver(bulk(cloudEvent(completed(transferID(1))))); status != 200 || answer != statuses("SUCCESS") {
		t.Errorf("%d %s", status, answer)
	}
	status, body := s.get(ana, "/api/fee/my/")
	for _, want := range []string{`"amount":"0.00"`, `"status":"WAIVED"`, `"charged_at":null`,
		`"description":"Tarifa de transferência dispensada: tarifa desativada"`} {
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("%d %s", status, body)
		}
	}
	if fees := s.fees(ana); len(fees) != 1 || fees[0].Reason != fee.ReasonDisabled {
		t.Errorf("%+v", fees)
	}
}

func TestOnlyTheSidecarDelivers(t *testing.T) {
	s := newEdge(t, 200)
	for name, set := range map[string]func(http.Header){
		"no token":    func(http.Header) {},
		"other token": func(h http.Header) { h.Set("dapr-api-token", appToken+"x") },
		"JWT":         func(h http.Header) { h.Set("Authorization", "Bearer "+s.token(ana, 1<<40)) },
	} {
		for _, path := range []string{httpapi.CompletedPath, httpapi.CompletedPath + "/"} {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(bulk(cloudEvent(completed(transferID(1))))))
			set(r.Header)
			if status, body, _ := s.do(r); status != 403 || body != errToken {
				t.Errorf("%s: %d %s", name, status, body)
			}
		}
	}
	if got := len(s.fees(ana)); got != 0 {
		t.Errorf("%d fees", got)
	}
}

func TestDeliveryTooLarge(t *testing.T) {
	s := newEdge(t, 200)
	r := httptest.NewRequest(http.MethodPost, httpapi.CompletedPath, bytes.NewReader(make([]byte, 129<<20)))
	r.Header.Set("dapr-api-token", appToken)
	if status, body, _ := s.do(r); status != 413 || body != `{"message":"Corpo da requisição grande demais.","type":"PAYLOAD_TOO_LARGE"}` {
		t.Errorf("%d %s", status, body)
	}
	if len(s.broker.kept) != 0 {
		t.Error("something was kept")
	}
}

// A fee goes on with the trace of its transfer's event. A delivery has one span, in the trace of its first event that has one, and with
// links to the others'. What is no trace is left out.
func TestDeliveriesAreTraced(t *testing.T) {
	spans := telemetrytest.Record(t)
	s := newEdge(t, 200)
	event := func(id int, trace string) string {
		return strings.Replace(cloudEvent(completed(transferID(id))), `"specversion"`, `"traceparent":"`+trace+`","specversion"`, 1)
	}
	const (
		first  = "00-11111111111111111111111111111111-1111111111111111-01"
		second = "00-22222222222222222222222222222222-2222222222222222-01"
		third  = "00-44444444444444444444444444444444-4444444444444444-01"
	)
	s.deliver(bulk(
		event(1, "garbage"),
		event(2, first),
		event(3, "00-33333333333333333333333333333333-3333333333333333-00"), // not sampled
		event(4, second),
		event(5, "cc"+third[2:]+"-of a later version, with more behind it"),
	))
	span := spans.One("process transfers-completed")
	if span.Parent().SpanID().String() != "1111111111111111" || len(span.Links()) != 2 ||
		span.Links()[0].SpanContext.SpanID().String() != "2222222222222222" ||
		span.Links()[1].SpanContext.SpanID().String() != "4444444444444444" || span.SpanKind() != trace.SpanKindConsumer {
		t.Errorf("kind %s, parent %v, links %v", span.SpanKind(), span.Parent(), span.Links())
	}
	for _, f := range s.fees(ana) {
		want := map[string]string{transferID(2): first, transferID(4): second, transferID(5): third}[f.TransferID]
		if f.TraceParent != want {
			t.Errorf("the fee of transfer %s goes on with %q, want %q", f.TransferID, f.TraceParent, want)
		}
	}
}
