// Package idempotency remembers the first definitive answer to a request under its key, in the Dapr state store, so
// that a repetition gets the same answer without touching the database. It is the memory, not the referee: that an
// effect happens once is decided in SQL. When the store is away, everything still works, only without the short cut.
// Every remembered answer carries a MAC, so that whoever can write to the store cannot make up an answer.
package idempotency

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/web"
)

var lookups = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "idempotency_memory_operations_total",
	Help: "Accesses to the idempotency memory, by operation and result (hit, miss, unreadable, forged, ok, away, dropped).",
}, []string{"operation", "result"})

// Store is the part of the Dapr state store that the memory needs.
type Store interface {
	Get(ctx context.Context, keys []string) (map[string][]byte, error)
	Save(ctx context.Context, items []sidecar.StateItem) error
}

// Config bounds the memory.
type Config struct {
	TTL time.Duration `env:"IDEMPOTENCY_TTL" envDefault:"24h"`
}

// Validate returns an error for each value out of range.
func (c Config) Validate() error {
	if c.TTL < time.Second { // the store counts in whole seconds
		return errors.New("IDEMPOTENCY_TTL is less than a second")
	}
	return nil
}

// What a store that is slow or away may cost a request, and for how long it is then left alone.
const (
	recallTimeout = 250 * time.Millisecond
	saveTimeout   = 5 * time.Second
	restPeriod    = time.Second
	maxUnsaved    = 8192
)

var errResting = errors.New("the state store failed a moment ago")

// Memory recalls and remembers answers, many per call to the store.
type Memory struct {
	ttl       time.Duration
	keys      [][]byte
	reads     *batch.Batcher[string, []byte]
	writes    *batch.Batcher[sidecar.StateItem, struct{}]
	began     time.Time    // the memory counts time from here, by the monotonic clock
	restUntil atomic.Int64 // nanoseconds after began; the store failed a moment ago
	unsaved   chan struct{}
	saving    sync.WaitGroup
}

// remembered is the stored form of an answer.
type remembered struct {
	Fingerprint string         `json:"fingerprint"`
	Status      int            `json:"status"`
	Body        jsontext.Value `json:"body,omitzero"`
	MAC         string         `json:"mac"`
}

// authenticate returns the MAC of an answer that is stored under stateKey.
func (r remembered) authenticate(key []byte, stateKey string) string {
	h := hmac.New(sha256.New, key)
	return digestWith(h, stateKey, r.Fingerprint, strconv.Itoa(r.Status), string(r.Body))
}

// genuine reports whether the memory has stored r under stateKey itself.
func (m *Memory) genuine(stateKey string, r remembered) bool {
	return slices.ContainsFunc(m.keys, func(key []byte) bool {
		return hmac.Equal([]byte(r.MAC), []byte(r.authenticate(key, stateKey)))
	})
}

// New returns a memory in store. It authenticates answers with the first of keys, and believes those of all: to rotate,
// put a new key first. It needs at least one.
func New(store Store, config Config, keys [][]byte) *Memory {
	m := &Memory{ttl: config.TTL, keys: keys, began: time.Now(), unsaved: make(chan struct{}, maxUnsaved)}
	m.reads = batch.New(func(ctx context.Context, keys []string) ([][]byte, error) {
		values, err := store.Get(ctx, unique(keys))
		if err != nil {
			return nil, err
		}
		out := make([][]byte, len(keys))
		for i, key := range keys {
			out[i] = values[key]
		}
		return out, nil
	}, batch.Options{MaxFlights: 2, Timeout: 2 * recallTimeout})
	m.writes = batch.New(func(ctx context.Context, items []sidecar.StateItem) ([]struct{}, error) {
		if m.resting() { // else each flight in the queue would wait for its own timeout, and Close for all of them
			return nil, errResting
		}
		err := store.Save(ctx, lastOfEach(items))
		if err != nil {
			m.rest(ctx, "remember", err) // before the next flight leaves
		}
		return make([]struct{}, len(items)), err
	}, batch.Options{Timeout: saveTimeout})
	return m
}

// Close waits until every answer given has been saved or given up. Call it when no request is running any more.
func (m *Memory) Close() {
	m.saving.Wait()
	m.writes.Close()
	m.reads.Close()
}

// Once answers a request that carries key: from memory if an answer with the same fingerprint is there, with
// fault.ErrKeyReused if one with another fingerprint is, else by running it. A definitive answer (anything but an error and
// 202 Accepted) is then remembered, behind the caller's back.
func (m *Memory) Once(ctx context.Context, key, fingerprint string, run func(ctx context.Context) (web.Answer, error)) (web.Answer, error) {
	if first, ok := m.recall(ctx, key); ok {
		if first.Fingerprint != fingerprint {
			return web.Answer{}, fault.ErrKeyReused
		}
		return web.Answer{Status: first.Status, Body: first.Body, Replayed: true}, nil
	}
	answer, err := run(ctx)
	if err == nil && answer.Status != 202 {
		m.remember(ctx, key, remembered{Fingerprint: fingerprint, Status: answer.Status, Body: answer.Body})
	}
	return answer, err
}

func (m *Memory) recall(caller context.Context, key string) (first remembered, found bool) {
	if m.resting() {
		lookups.WithLabelValues("recall", "away").Inc()
		return first, false
	}
	ctx, cancel := context.WithTimeout(caller, recallTimeout)
	defer cancel()
	raw, err := m.reads.Do(ctx, key)
	switch {
	case caller.Err() != nil: // the caller went away, which says nothing about the store
		return first, false
	case err != nil:
		m.away(ctx, "recall", err)
		return first, false
	case raw == nil:
		lookups.WithLabelValues("recall", "miss").Inc()
		return first, false
	}
	if err := json.Unmarshal(raw, &first); err != nil {
		lookups.WithLabelValues("recall", "unreadable").Inc()
		slog.WarnContext(ctx, "idempotency memory holds an unreadable answer, the database decides", "error", err)
		return first, false
	}
	if !m.genuine(key, first) { // somebody else wrote it, or it is older than the keys
		lookups.WithLabelValues("recall", "forged").Inc()
		slog.WarnContext(ctx, "idempotency memory holds an answer that no key of ours has authenticated, the database decides", "state_key", key)
		return remembered{}, false
	}
	lookups.WithLabelValues("recall", "hit").Inc()
	return first, true
}

// remember saves behind the answer. Answers that would pile up while the store is away are dropped: the referee has them.
func (m *Memory) remember(ctx context.Context, key string, first remembered) {
	select {
	case m.unsaved <- struct{}{}:
	default:
		lookups.WithLabelValues("remember", "dropped").Inc()
		return
	}
	ctx = context.WithoutCancel(ctx)
	m.saving.Go(func() {
		defer func() { <-m.unsaved }()
		first.MAC = first.authenticate(m.keys[0], key)
		value, err := json.Marshal(first)
		if err == nil {
			_, err = m.writes.Do(ctx, sidecar.StateItem{Key: key, Value: value, TTL: m.ttl})
		}
		if err != nil {
			m.away(ctx, "remember", err)
			return
		}
		lookups.WithLabelValues("remember", "ok").Inc()
	})
}

// resting reports whether the store failed a moment ago and is left alone.
func (m *Memory) resting() bool { return time.Since(m.began).Nanoseconds() < m.restUntil.Load() }

// away counts a failure of the store and leaves it alone for a while.
func (m *Memory) away(ctx context.Context, operation string, err error) {
	lookups.WithLabelValues(operation, "away").Inc()
	m.rest(ctx, operation, err)
}

// rest leaves a store that fails alone for restPeriod, so that it costs few requests their time.
func (m *Memory) rest(ctx context.Context, operation string, err error) {
	now := time.Since(m.began)
	until := m.restUntil.Load()
	if now.Nanoseconds() >= until && m.restUntil.CompareAndSwap(until, (now+restPeriod).Nanoseconds()) {
		slog.WarnContext(ctx, "idempotency memory is away, the database decides", "operation", operation, "error", err)
	}
}

// Key is where the answer to a caller's request is remembered. It is a hash, since a request id may hold anything and
// a state key may not.
func Key(scope, requestID string) string { return digest(scope, requestID) }

// Fingerprint identifies a payload by the meaning of its fields, never by the bytes of the body.
func Fingerprint(fields ...string) string { return digest(fields...) }

// digest hashes fields, each prefixed with its length, so that no two lists of fields run together.
func digest(fields ...string) string { return digestWith(sha256.New(), fields...) }

func digestWith(h hash.Hash, fields ...string) string {
	for _, f := range fields {
		h.Write(binary.AppendUvarint(nil, uint64(len(f))))
		h.Write([]byte(f))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func unique(keys []string) []string {
	seen := make(map[string]bool, len(keys))
	out := make([]string, 0, len(keys))
	for _, key := range keys {
		if !seen[key] {
			seen[key] = true
			out = append(out, key)
		}
	}
	return out
}

func lastOfEach(items []sidecar.StateItem) []sidecar.StateItem {
	place := make(map[string]int, len(items))
	out := make([]sidecar.StateItem, 0, len(items))
	for _, item := range items {
		if i, ok := place[item.Key]; ok {
			out[i] = item
			continue
		}
		place[item.Key] = len(out)
		out = append(out, item)
	}
	return out
}
