// Package tracing_test runs the whole system with a collector of traces, which the standard variables of OpenTelemetry name, and
// looks at what it exports.
package tracing_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

var (
	system    *bank.Bank
	collected *spans
)

func TestMain(m *testing.M) {
	collected = collect()
	code := bank.Run(m, stack.Options{All: map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": collected.URL,
		"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
		"OTEL_EXPORTER_OTLP_INSECURE": "true", // for sidecars, which do not look at the scheme
		"OTEL_BSP_SCHEDULE_DELAY":     "200",  // milliseconds until spans are exported, instead of 5 s
	}}, func(b *bank.Bank) { system = b }, []bank.Check{
		bank.NoCrash, bank.SidecarsComplete, bank.EachVerified, bank.LogsHoldNoSecret,
		{What: "all exports could be read", Find: func(*bank.Bank) error { return errors.Join(told(collected.problems)...) }},
	})
	collected.Close()
	os.Exit(code)
}

func told(problems []string) (errs []error) {
	for _, p := range problems {
		errs = append(errs, errors.New(p))
	}
	return errs
}

// caller is a client that has begun a trace.
type caller struct {
	trace, span string
	sampled     bool
}

func newCaller(sampled bool) caller {
	id := uuid.New()
	trace := hex.EncodeToString(id[:])
	return caller{trace, trace[:16], sampled}
}

func (c caller) traceParent() string {
	if c.sampled {
		return "00-" + c.trace + "-" + c.span + "-01"
	}
	return "00-" + c.trace + "-" + c.span + "-00"
}

// transfers sends a transfer of 1.00 for each caller, all at once, and returns once all are completed.
func transfers(t *testing.T, from, to bank.Customer, callers ...caller) {
	t.Helper()
	var all sync.WaitGroup
	for _, c := range callers {
		all.Go(func() {
			header := from.Header()
			header.Set("traceparent", c.traceParent())
			body := fmt.Appendf(nil, `{"request_id":%q,"destination_account_number":%q,"amount":1.00}`, bank.Key(), to.Number)
			answer, err := system.API.Send(t.Context(), http.MethodPost, system.URL()+"/api/transfer/", body, header)
			if err != nil || answer.Status != http.StatusOK {
				t.Errorf("transfer: %d %s, %v", answer.Status, answer.Body, err)
			}
		})
	}
	all.Wait()
}

// step is a span that must be in a trace, below another one.
type step struct{ below, is string }

// The steps of a transfer and its fee. What stands in `below` is the `is` of another step, or "client".
var steps = []step{
	{"client", "ingress: POST"},
	{"ingress: POST", "ingress's sidecar: …"},
	{"ingress's sidecar: …", "transfer-svc's sidecar: …"},
	{"transfer-svc's sidecar: …", "transfer-svc: POST /api/transfer"},
	{"transfer-svc: POST /api/transfer", "transfer-svc: commit transfers"},
	{"transfer-svc: commit transfers", "transfer-svc: sql.tx.commit"},
	{"transfer-svc: POST /api/transfer", "transfer-svc: send movements"},
	{"transfer-svc: send movements", "transfer-svc: POST /internal/movements"},
	{"transfer-svc: POST /internal/movements", "account-svc's sidecar: …"},
	{"account-svc's sidecar: …", "account-svc: POST /internal/movements"},
	{"account-svc: POST /internal/movements", "account-svc: commit movements"},
	{"account-svc: commit movements", "account-svc: sql.tx.commit"},
	// The event, from the outbox to fee-svc.
	{"transfer-svc: POST /api/transfer", "transfer-svc: send transfers-completed"},
	{"transfer-svc: send transfers-completed", "transfer-svc: dapr.proto.runtime.v1.Dapr/BulkPublishEvent"},
	{"transfer-svc: POST /api/transfer", "fee-svc: process transfers-completed"},
	{"fee-svc: process transfers-completed", "fee-svc: commit fees"},
	{"fee-svc: commit fees", "fee-svc: sql.tx.commit"},
	// The fee.
	{"transfer-svc: POST /api/transfer", "fee-svc: ask for balances"},
	{"fee-svc: ask for balances", "account-svc: POST /internal/balances"},
	{"transfer-svc: POST /api/transfer", "fee-svc: charge fee"},
	{"fee-svc: charge fee", "fee-svc: POST /internal/movements"},
	{"fee-svc: POST /internal/movements", "account-svc: POST /internal/movements"},
	{"transfer-svc: POST /api/transfer", "fee-svc: settle fees"},
	{"fee-svc: settle fees", "fee-svc: commit settlements"},
	{"transfer-svc: POST /api/transfer", "fee-svc: send fee-charges"},
}

// missing returns an error for each step that a trace lacks.
func missing(t tree, client string) error {
	var errs []error
	for _, s := range steps {
		ancestors := []string{client}
		if s.below != "client" {
			ancestors = nil
			for _, found := range t.below(client, s.below) {
				ancestors = append(ancestors, found.id())
			}
		}
		if !slices.ContainsFunc(ancestors, func(ancestor string) bool { return len(t.below(ancestor, s.is)) > 0 }) {
			errs = append(errs, fmt.Errorf("no span %q below %q", s.is, s.below))
		}
	}
	return errors.Join(errs...)
}

// One trace leads from the client through the ingress, the sidecars, the services, their databases and the broker to the fee. Every span
// of it descends from the client's.
func TestOneTraceFromTheClientToTheFee(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Traçada", "10.00"), system.NewCustomer(t, "Bia Traçada", "")
	client := newCaller(true)
	transfers(t, ana, bia, client)
	ana.WaitBalance(t, "7.00") // the fee is charged
	bank.Eventually(t, 20*time.Second, func() error {
		trace := collected.of(client.trace)
		if err := missing(trace, client.span); err != nil {
			return fmt.Errorf("%w\n%s", err, trace)
		}
		return nil
	})
	trace := collected.of(client.trace)
	t.Logf("%d spans:\n%s", len(trace), trace)
	for _, s := range trace {
		if ancestors := trace.ancestors(s); ancestors[len(ancestors)-1] != client.span {
			t.Errorf("%s does not descend from the client's span", s)
		}
		if s.GetStatus().GetCode() != 0 {
			t.Errorf("%s: %s", s, s.GetStatus())
		}
	}
}

// Transfers that come together share commits, calls and deliveries. What is done for several of them is one span, in one of their traces
// and with links to the others. Each transfer still has the steps of its own.
func TestBatchesLinkToTheTracesOfTheirItems(t *testing.T) {
	const n = 20
	ana, bia := system.NewCustomer(t, "Ana Juntas", "60.00"), system.NewCustomer(t, "Bia Juntas", "")
	callers := make([]caller, n)
	ours := map[string]bool{} // traces
	for i := range callers {
		callers[i] = newCaller(true)
		ours[callers[i].trace] = true
	}
	transfers(t, ana, bia, callers...)
	ana.WaitBalance(t, "0.00")
	// Kinds of batches that this must have made, and the spans that they link to.
	batches := map[string]string{
		"transfer-svc: commit transfers":         "transfer-svc: POST /api/transfer",
		"transfer-svc: send movements":           "transfer-svc: POST /api/transfer",
		"transfer-svc: send transfers-completed": "transfer-svc: POST /api/transfer",
		"fee-svc: process transfers-completed":   "transfer-svc: POST /api/transfer",
		"fee-svc: ask for balances":              "transfer-svc: POST /api/transfer",
		"fee-svc: send movements":                "fee-svc: charge fee",
		"fee-svc: send fee-charges":              "transfer-svc: POST /api/transfer",
	}
	bank.Eventually(t, 20*time.Second, func() error {
		byID := tree{}
		for _, s := range collected.find(func(s span) bool { return ours[s.trace()] }) {
			byID[s.id()] = s
		}
		var errs []error
		for batch, item := range batches {
			linked := false
			for _, s := range byID {
				for _, link := range s.GetLinks() {
					target := byID[hex.EncodeToString(link.GetSpanId())]
					linked = linked || s.String() == batch && target.Span != nil && target.String() == item && target.trace() != s.trace()
				}
			}
			if !linked {
				errs = append(errs, fmt.Errorf("no %q links to a %q of another trace", batch, item))
			}
		}
		// A call that travelled in a flight of another trace links to the flight.
		back := false
		for _, s := range byID {
			for _, link := range s.GetLinks() {
				flight := byID[hex.EncodeToString(link.GetSpanId())]
				back = back || s.String() == "transfer-svc: POST /api/transfer" && flight.Span != nil && flight.GetName() == "commit transfers"
			}
		}
		if !back {
			errs = append(errs, errors.New("no transfer links to the commit that it was part of"))
		}
		for _, c := range callers {
			trace := collected.of(c.trace)
			for _, own := range []string{"transfer-svc: POST /api/transfer", "fee-svc: charge fee"} {
				if got := len(trace.below(c.span, own)); got != 1 {
					errs = append(errs, fmt.Errorf("%d spans %q in a trace, want 1", got, own))
				}
			}
		}
		return errors.Join(errs...)
	})
}

// A client that has its trace recorded nowhere gets none recorded here. A request without a trace begins one at the ingress. Nothing
// else begins one: no poll of a sidecar, a service or a database.
func TestWhoBeginsATrace(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Calada", "10.00"), system.NewCustomer(t, "Bia Calada", "")
	client := newCaller(false)
	transfers(t, ana, bia, client)
	ana.WaitBalance(t, "7.00")
	ana.Pay(t, bia, "1.00")
	ana.WaitBalance(t, "4.00")
	var begun []span
	bank.Eventually(t, 20*time.Second, func() error {
		begun = collected.find(func(s span) bool { return s.parent() == "" })
		if !slices.ContainsFunc(begun, func(s span) bool {
			return len(collected.of(s.trace()).below(s.id(), "fee-svc: charge fee")) > 0
		}) {
			return errors.New("no trace that leads to a fee has begun here")
		}
		return nil
	})
	time.Sleep(3 * time.Second) // services poll at least every 2 s
	for _, s := range collected.find(func(s span) bool { return s.parent() == "" }) {
		if s.service != stack.Ingress || s.sidecar() {
			t.Errorf("a trace begins with %s", s)
		}
	}
	if trace := collected.of(client.trace); len(trace) > 0 {
		t.Errorf("a trace that is not sampled:\n%s", trace)
	}
}

// Logs and traces have the same ids.
func TestLogsCarryTheTrace(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Anotada", "10.00"), system.NewCustomer(t, "Bia Anotada", "")
	client := newCaller(true)
	transfers(t, ana, bia, client)
	ana.WaitBalance(t, "7.00")
	for _, id := range []string{"transfer-svc", "account-svc"} {
		bank.Eventually(t, 20*time.Second, func() error {
			log, err := os.ReadFile(system.Apps[id].Service.LogFile())
			if err == nil && !bytes.Contains(log, []byte(`"trace_id":"`+client.trace+`"`)) {
				err = fmt.Errorf("%s logs nothing of the trace", id)
			}
			return err
		})
	}
}

// No span tells a secret. (The tests before this one have registered customers, logged in and paid.)
func TestSpansTellNoSecret(t *testing.T) {
	ana := system.NewCustomer(t, "Ana Secreta", "10.00")
	client := newCaller(true)
	header := ana.Header()
	header.Set("traceparent", client.traceParent())
	for path, body := range map[string]string{
		"/api/account/login/":    fmt.Sprintf(`{"cpf":%q,"password":%q}`, ana.CPF, ana.Password),
		"/api/account/movement/": fmt.Sprintf(`{"request_id":%q,"account_number":%q,"amount":1.00,"type":"C"}`, bank.Key(), ana.Number),
	} {
		if answer, err := system.API.Send(t.Context(), http.MethodPost, system.URL()+path, []byte(body), header); err != nil || answer.Status/100 != 2 {
			t.Fatalf("%s: %d %s, %v", path, answer.Status, answer.Body, err)
		}
	}
	bank.Eventually(t, 20*time.Second, func() error {
		trace := collected.of(client.trace)
		for _, want := range []string{"account-svc: POST /api/account/login", "account-svc: POST /api/account/movement", "account-svc: commit movements"} {
			if len(trace.below(client.span, want)) == 0 {
				return fmt.Errorf("no span %q\n%s", want, trace)
			}
		}
		return nil
	})
	collected.mu.Lock()
	defer collected.mu.Unlock()
	for _, secret := range append(system.Secrets(), ana.CPF, ana.Password, ana.Token) {
		if strings.HasPrefix(secret, "/") || strings.HasPrefix(secret, `"`) {
			continue // an account number, which stands in paths
		}
		if at := bytes.Index(collected.exports, []byte(secret)); at >= 0 {
			t.Errorf("%q is in a span: %.300q", secret, collected.exports[max(0, at-150):])
		}
	}
}
