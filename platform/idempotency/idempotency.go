// Package idempotency remembers the first definitive answer to a request under its key, in the Dapr state store. The package
// is the memory, not the referee: SQL decides that an effect happens once, and knows a repetition. The memory is read only for
// a repetition, which then gets the first answer byte for byte, and while the database does not answer. A first request costs
// no read. Answers are saved in the background, many in one call. While the store does not answer, the referee's answer
// counts. Every remembered answer carries a MAC, so that nobody who can write to the store can make up an answer.
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
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/sony/gobreaker/v2"

	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/web"
)

var accesses = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "bankmore_idempotency_memory_operations_total",
	Help: "Accesses to the idempotency memory, by operation and result (hit, miss, unreadable, forged, contradicted, ok, away, dropped).",
}, []string{"operation", "result"})

// init creates every series with the value 0, so that an alert rule sees the first one counted.
func init() {
	for operation, results := range map[string][]string{
		"recall":   {"hit", "miss", "unreadable", "forged", "contradicted", "away"},
		"remember": {"ok", "away", "dropped"},
	} {
		for _, result := range results {
			accesses.WithLabelValues(operation, result)
		}
	}
}

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
	recallTimeout  = 250 * time.Millisecond // a request's wait for the store
	gathering      = 100 * time.Millisecond // from an answer to its save, so that one call saves many
	portion        = 256                    // answers in one call
	saveTimeout    = 5 * time.Second        // of one call to save answers
	drainTimeout   = 5 * time.Second        // for the answers that are not yet saved when the service stops
	breakerTimeout = time.Second            // how long the breaker stays open after a failure: the memory does not call the store
	maxUnsaved     = 8192                   // answers that wait to be saved; the memory drops further ones
)

// errCallerLeft is the error of a recall whose caller did not wait for it, which says nothing about the store.
var errCallerLeft = errors.New("the caller left")

// Memory recalls and remembers answers, many per call to the store.
type Memory struct {
	store   Store
	ttl     time.Duration
	keys    [][]byte
	reads   *batch.Batcher[string, []byte]
	breaker *gobreaker.CircuitBreaker[[]byte] // of reads and writes together

	saves   context.Context //nolint:containedctx // ends drainTimeout after Close
	abandon context.CancelFunc
	closing chan struct{}
	saver   sync.WaitGroup // the goroutine that saves, which runs while answers are unsaved

	mu          sync.Mutex
	unsaved     []unsaved
	saving      bool  // the saver runs
	closed      bool  // by Close: the saver does not start again
	lastFailure error // of a read or a write
}

// unsaved is an answer that waits to be saved.
type unsaved struct {
	key   string
	first remembered
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
	m := &Memory{store: store, ttl: config.TTL, keys: keys, closing: make(chan struct{})}
	m.saves, m.abandon = context.WithCancel(context.Background())
	m.breaker = gobreaker.NewCircuitBreaker[[]byte](gobreaker.Settings{
		Timeout:       breakerTimeout,
		ReadyToTrip:   func(gobreaker.Counts) bool { return true }, // the first failure opens it
		IsExcluded:    func(err error) bool { return errors.Is(err, errCallerLeft) },
		OnStateChange: m.changed,
	})
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
	}, batch.Options{Name: "read remembered answers", MaxFlights: 2, Timeout: 2 * recallTimeout})
	return m
}

// Close saves the answers that wait, for drainTimeout at most, and drops the others. Call it once. A request that still runs, because
// it has outlasted the drain of its server, gets its answer, which is not remembered.
func (m *Memory) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	close(m.closing)
	limit := time.AfterFunc(drainTimeout, m.abandon)
	m.saver.Wait()
	limit.Stop()
	m.abandon()
	m.reads.Close()
}

// Once answers a request that carries key. It calls run, which asks the referee and marks a repetition's answer as Replayed.
// Once saves the definitive answer to a first request in the background. For a repetition it returns the remembered answer,
// or run's if the memory has none with the same fingerprint and status. Then it remembers run's answer, unless the store does
// not say what it holds.
//
// If run fails because something that it needs is away, Once returns the remembered answer, if there is one: it is
// definitive. If its fingerprint differs, Once returns fault.ErrKeyReused.
func (m *Memory) Once(ctx context.Context, key, fingerprint string, run func(ctx context.Context) (web.Answer, error)) (web.Answer, error) {
	answer, err := run(ctx)
	switch {
	case errors.Is(err, batch.ErrOverloaded): // to ask the store as well would make it worse
		return answer, err
	case err != nil && fault.From(err).Kind == fault.Unavailable:
		first, result := m.recall(ctx, key)
		switch {
		case result != hit:
			return answer, err
		case first.Fingerprint != fingerprint:
			return web.Answer{}, fault.ErrKeyReused
		}
		return first.replay(), nil
	case err != nil || !answer.Definitive():
		return answer, err
	case answer.Replayed:
		first, result := m.recall(ctx, key)
		switch {
		case result == unknown: // the store may hold the first answer, whose words this one must not replace
			return answer, nil
		case result == hit && first.Fingerprint == fingerprint && first.Status == answer.Status:
			return first.replay(), nil
		case result == hit:
			// A restored database has decided anew about a request that the memory has known before.
			accesses.WithLabelValues("recall", "contradicted").Inc()
			slog.WarnContext(ctx, "idempotency memory contradicts the database, which decides", "state_key", key)
		}
	}
	m.remember(key, remembered{Fingerprint: fingerprint, Status: answer.Status, Body: answer.Body})
	return answer, nil
}

func (r remembered) replay() web.Answer {
	return web.Answer{Status: r.Status, Body: r.Body, Replayed: true}
}

// recalled says what the memory knows of a key.
type recalled int

const (
	unknown recalled = iota // the store was not asked, or has not answered
	missing                 // the store holds no answer that can be believed
	hit
)

func (m *Memory) recall(caller context.Context, key string) (first remembered, result recalled) {
	if m.isClosed() {
		return first, unknown
	}
	raw, err := m.breaker.Execute(func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(caller, recallTimeout)
		defer cancel()
		raw, err := m.reads.Do(ctx, key)
		if caller.Err() != nil {
			return nil, errCallerLeft
		}
		return raw, m.noted(err)
	})
	switch {
	case errors.Is(err, errCallerLeft):
		return first, unknown
	case err != nil:
		accesses.WithLabelValues("recall", "away").Inc()
		return first, unknown
	case raw == nil:
		accesses.WithLabelValues("recall", "miss").Inc()
		return first, missing
	}
	if err := json.Unmarshal(raw, &first); err != nil {
		accesses.WithLabelValues("recall", "unreadable").Inc()
		slog.WarnContext(caller, "idempotency memory holds an unreadable answer, the database decides", "error", err)
		return remembered{}, missing
	}
	if !m.genuine(key, first) { // somebody else wrote it, or its key has been rotated out
		accesses.WithLabelValues("recall", "forged").Inc()
		slog.WarnContext(caller, "idempotency memory holds an answer that no key of ours has authenticated, the database decides", "state_key", key)
		return remembered{}, missing
	}
	accesses.WithLabelValues("recall", "hit").Inc()
	return first, hit
}

func (m *Memory) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// remember lets the saver save an answer. If maxUnsaved answers wait already, or the memory is closed, it drops the answer: the
// referee has it.
func (m *Memory) remember(key string, first remembered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(m.unsaved) >= maxUnsaved {
		accesses.WithLabelValues("remember", "dropped").Inc()
		return
	}
	m.unsaved = append(m.unsaved, unsaved{key, first})
	if !m.saving {
		m.saving = true
		m.saver.Go(m.save)
	}
}

// save saves answers until none waits. Before each round of calls it waits for gathering.
func (m *Memory) save() {
	for m.waiting() {
		select {
		case <-time.After(gathering):
		case <-m.closing:
		}
		for full := true; full; {
			answers := m.take()
			full = len(answers) == portion
			result := "ok"
			if err := m.saveAll(answers); err != nil {
				result = "away"
			}
			accesses.WithLabelValues("remember", result).Add(float64(len(answers)))
		}
	}
}

// waiting reports whether an answer waits. If none does, the saver ends.
func (m *Memory) waiting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saving = len(m.unsaved) > 0
	return m.saving
}

// take returns up to portion answers, which no longer wait.
func (m *Memory) take() []unsaved {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := min(len(m.unsaved), portion)
	taken := m.unsaved[:n:n]
	if m.unsaved = m.unsaved[n:]; len(m.unsaved) == 0 {
		m.unsaved = nil
	}
	return taken
}

// saveAll saves answers in one call. Of two answers with one key, it saves the last.
func (m *Memory) saveAll(answers []unsaved) error {
	if len(answers) == 0 {
		return nil
	}
	if m.breaker.State() == gobreaker.StateOpen {
		return gobreaker.ErrOpenState
	}
	items := make([]sidecar.StateItem, 0, len(answers))
	for _, a := range answers {
		a.first.MAC = a.first.authenticate(m.keys[0], a.key)
		value, err := json.Marshal(a.first)
		if err != nil { // the body is no JSON, which web.JSON excludes
			slog.Error("idempotency memory cannot keep an answer", "error", err)
			continue
		}
		items = append(items, sidecar.StateItem{Key: a.key, Value: value, TTL: m.ttl})
	}
	_, err := m.breaker.Execute(func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(m.saves, saveTimeout)
		defer cancel()
		return nil, m.noted(m.store.Save(ctx, lastOfEach(items)))
	})
	return err
}

// noted keeps an error of the store for the log, and returns it.
func (m *Memory) noted(err error) error {
	if err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.lastFailure = err
	}
	return err
}

// changed logs when the memory stops calling a store that has failed, so that the store delays few requests, and when the store
// answers again.
func (m *Memory) changed(_ string, from, to gobreaker.State) {
	switch {
	case from == gobreaker.StateClosed:
		m.mu.Lock()
		defer m.mu.Unlock()
		slog.Warn("idempotency memory is away, the database decides", "error", m.lastFailure)
	case to == gobreaker.StateClosed:
		slog.Info("idempotency memory answers again")
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
