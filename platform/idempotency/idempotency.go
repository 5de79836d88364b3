// Package idempotency remembers the first definitive answer to a request under its key, in the Dapr state store. A repeated
// request gets the same answer without touching the database. The package is the memory, not the referee: SQL decides that
// an effect happens once. While the store does not answer, every request goes to the database and is still correct. Every
// remembered answer carries a MAC, so that nobody who can write to the store can make up an answer.
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

// What a store that is slow or does not answer may cost.
const (
	recallTimeout = 250 * time.Millisecond // a request's wait for the store
	saveTimeout   = 5 * time.Second        // of one call to save answers
	restPeriod    = time.Second            // how long the memory does not call the store after a failure
	maxUnsaved    = 8192                   // answers that wait to be saved; the memory drops further ones
)

var errResting = errors.New("the state store failed a moment ago")

// Memory recalls and remembers answers, many per call to the store.
type Memory struct {
	ttl       time.Duration
	keys      [][]byte
	reads     *batch.Batcher[string, []byte]
	writes    *batch.Batcher[sidecar.StateItem, struct{}]
	began     time.Time    // the memory counts time from here, by the monotonic clock
	restUntil atomic.Int64 // nanoseconds after began; until then the memory does not call the store
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

// New returns a memory in store. It authenticates new answers with the first of keys, and accepts stored ones that any of
// keys has authenticated: to rotate, put a new key first. It needs at least one key.
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
		if m.resting() { // otherwise each waiting flight would take its own timeout, and Close would wait for all of them
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

// Close waits until every answer has been saved or dropped. Call it when no request is running any more.
func (m *Memory) Close() {
	m.saving.Wait()
	m.writes.Close()
	m.reads.Close()
}

// Once answers a request that carries key. If the memory holds an answer to the key with the same fingerprint, Once returns
// that. If the fingerprint differs, it returns fault.ErrKeyReused. Otherwise it calls run, and saves a definitive answer
// (anything but an error and 202 Accepted) in the background.
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
	case caller.Err() != nil: // the caller gave up, which says nothing about the store
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
	if !m.genuine(key, first) { // somebody else wrote it, or its key has been rotated out
		lookups.WithLabelValues("recall", "forged").Inc()
		slog.WarnContext(ctx, "idempotency memory holds an answer that no key of ours has authenticated, the database decides", "state_key", key)
		return remembered{}, false
	}
	lookups.WithLabelValues("recall", "hit").Inc()
	return first, true
}

// remember saves an answer in the background. If maxUnsaved answers wait already, it drops the answer: the referee has it.
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

// resting reports whether the store failed less than restPeriod ago: then the memory does not call it.
func (m *Memory) resting() bool { return time.Since(m.began).Nanoseconds() < m.restUntil.Load() }

// away counts a failure of the store and begins a rest.
func (m *Memory) away(ctx context.Context, operation string, err error) {
	lookups.WithLabelValues(operation, "away").Inc()
	m.rest(ctx, operation, err)
}

// rest keeps the memory from calling a store that has failed for restPeriod, so that the store delays few requests.
func (m *Memory) rest(ctx context.Context, operation string, err error) {
	now := time.Since(m.began)
	until := m.restUntil.Load()
	if now.Nanoseconds() >= until && m.restUntil.CompareAndSwap(until, (now+restPeriod).Nanoseconds()) {
		slog.WarnContext(ctx, "idempotency memory is away, the database decides", "operation", operation, "error", err)
	}
}

// Key returns the state key of the answer to a caller's request. It is a hash, since a request id may hold any character
// and a state key may not.
func Key(scope, requestID string) string { return digest(scope, requestID) }

// Fingerprint identifies a payload by the meaning of its fields, never by the bytes of the body.
func Fingerprint(fields ...string) string { return digest(fields...) }

// digest hashes fields, each prefixed with its length, so that two different lists never hash the same bytes.
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
