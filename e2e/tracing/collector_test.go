package tracing_test

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// span is one that some process has exported.
type span struct {
	*otlp.Span

	service string // as its resource names it: the app id, of an app and of its sidecar
	scope   string // the library that made it
}

func (s span) trace() string  { return hex.EncodeToString(s.GetTraceId()) }
func (s span) id() string     { return hex.EncodeToString(s.GetSpanId()) }
func (s span) parent() string { return hex.EncodeToString(s.GetParentSpanId()) }

// sidecar reports whether daprd made the span.
func (s span) sidecar() bool { return s.scope == "dapr-diagnostics" }

func (s span) String() string {
	where := s.service
	if s.sidecar() {
		where += "'s sidecar"
	}
	return where + ": " + s.GetName()
}

// spans takes spans by OTLP over HTTP, as a collector does.
type spans struct {
	*httptest.Server

	mu       sync.Mutex
	all      []span
	exports  []byte // all that came, as it came
	problems []string
}

func collect() *spans {
	c := new(spans)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.take(r); err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.problems = append(c.problems, fmt.Sprintf("%s %s: %v", r.Method, r.URL, err))
			http.Error(w, "no export of spans", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-protobuf") // of an empty answer: all is well
	}))
	return c
}

func (c *spans) take(r *http.Request) error {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = unzipped
	}
	export, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var request collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(export, &request); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exports = append(c.exports, export...)
	for _, resource := range request.GetResourceSpans() {
		service := ""
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.all = append(c.all, span{s, service, scope.GetScope().GetName()})
			}
		}
	}
	return nil
}

// find returns the spans that have come so far and of which keep is true.
func (c *spans) find(keep func(span) bool) (found []span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.all {
		if keep(s) {
			found = append(found, s)
		}
	}
	return found
}

// of returns the spans of a trace that have come so far.
func (c *spans) of(trace string) tree {
	t := tree{}
	for _, s := range c.find(func(s span) bool { return s.trace() == trace }) {
		t[s.id()] = s
	}
	return t
}

// tree is the spans of a trace, by their ids.
type tree map[string]span

// below returns the spans of that description, as String gives it, that descend from the span with an id. A description that ends in
// "…" is the beginning of one.
func (t tree) below(ancestor, description string) (found []span) {
	for _, s := range t {
		prefix, open := strings.CutSuffix(description, "…")
		if s.String() == description || open && strings.HasPrefix(s.String(), prefix) {
			if slices.Contains(t.ancestors(s), ancestor) {
				found = append(found, s)
			}
		}
	}
	return found
}

// ancestors returns the ids of a span's ancestors, the parent first. The last is of a span that is not in the tree, or "" of none.
func (t tree) ancestors(s span) (ids []string) {
	for {
		ids = append(ids, s.parent())
		parent, ok := t[s.parent()]
		if !ok || len(ids) > len(t) {
			return ids
		}
		s = parent
	}
}

// String draws the tree below the spans whose parents are not in it.
func (t tree) String() string {
	var text strings.Builder
	var draw func(parent, indent string)
	draw = func(parent, indent string) {
		var children []span
		for _, s := range t {
			_, known := t[s.parent()]
			if s.parent() == parent || parent == "" && !known {
				children = append(children, s)
			}
		}
		slices.SortFunc(children, func(a, b span) int { return int(a.GetStartTimeUnixNano()) - int(b.GetStartTimeUnixNano()) })
		for _, s := range children {
			fmt.Fprintf(&text, "%s%s (%d links)\n", indent, s, len(s.GetLinks()))
			draw(s.id(), indent+"  ")
		}
	}
	draw("", "")
	return text.String()
}
