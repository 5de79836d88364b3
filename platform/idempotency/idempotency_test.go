package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/idempotency"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/web"
)

// stateStore behaves like daprd's state store. The test chooses its delay and its error.
type stateStore struct {
	mu    sync.Mutex
	items map[string]sidecar.StateItem
	gets  [][]string // keys of each call
	saves int
	delay time.Duration
	err   error
}

func newStore() *stateStore { return &stateStore{items: map[string]sidecar.StateItem{}} }

func (s *stateStore) Get(ctx context.Context, keys []string) (map[string][]byte, error) {
	s.mu.Lock()
	s.gets = append(s.gets, keys)
	s.mu.Unlock()
	if err := s.wait(ctx, keys); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string][]byte{}
	for _, key := range keys {
		if item, ok := s.items[key]; ok {
			found[key] = item.Value
		}
	}
	return found, nil
}

func (s *stateStore) Save(ctx context.Context, items []sidecar.StateItem) error {
	s.mu.Lock()
	s.saves++
	s.mu.Unlock()
	keys := make([]string, len(items))
	for i, item := range items {
		keys[i] = item.Key
	}
	if err := s.wait(ctx, keys); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, item := range items {
		s.items[item.Key] = item
	}
	return nil
}

func (s *stateStore) wait(ctx context.Context, keys []string) error {
	if len(slices.Compact(slices.Sorted(slices.Values(keys)))) != len(keys) {
		return errors.New("a key occurs twice in one call")
	}
	s.mu.Lock()
	delay, err := s.delay, s.err
	s.mu.Unlock()
	select {
	case <-time.After(delay):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// item returns what the store holds under key, once every goroutine waits.
func (s *stateStore) item(key string) sidecar.StateItem {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.items[key]
}

// size returns the number of keys, once every goroutine waits.
func (s *stateStore) size() int {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.items)
}

// set changes how the store behaves.
func (s *stateStore) set(delay time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay, s.err = delay, err
}

// put writes to the store without the memory.
func (s *stateStore) put(key, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items[key] = sidecar.StateItem{Key: key, Value: []byte(value)}
}

// calls counts the accesses so far.
func (s *stateStore) calls() (gets, saves int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.gets), s.saves
}

// in runs test in a synctest bubble, with a memory over a store.
func in(t *testing.T, test func(t *testing.T, store *stateStore, memory *idempotency.Memory)) {
	t.Helper()
	before := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	defer slog.SetDefault(before)
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		memory := idempotency.New(store, idempotency.Config{TTL: 24 * time.Hour}, [][]byte{[]byte("key one")})
		test(t, store, memory)
		store.set(0, nil)
		memory.Close()
	})
}

// running counts how often Once has run the request.
type running struct{ times int }

func (r *running) answers(answer web.Answer, err error) func(context.Context) (web.Answer, error) {
	return func(context.Context) (web.Answer, error) {
		r.times++
		return answer, err
	}
}

var created = web.Answer{Status: 201, Body: []byte(`{"id":"1","name":"José <&> 😀"}`)}

func TestReplay(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		var r running
		first, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil))
		if diff := cmp.Diff(created, first); diff != "" || err != nil {
			t.Errorf("first: %v (-want +got):\n%s", err, diff)
		}
		synctest.Wait()
		want := created
		want.Replayed = true
		again, err := memory.Once(t.Context(), "key", "print", r.answers(web.Answer{}, errors.New("must not run")))
		if diff := cmp.Diff(want, again); diff != "" || err != nil {
			t.Errorf("again: %v (-want +got):\n%s", err, diff)
		}
		if r.times != 1 {
			t.Errorf("ran %d times", r.times)
		}
		if ttl := store.item("key").TTL; ttl != 24*time.Hour {
			t.Errorf("kept for %v", ttl)
		}
	})
}

// The memory does not believe an answer that somebody else has written to the store: it runs the request instead.
func TestForgedAnswersAreNotBelieved(t *testing.T) {
	change := func(old, new string) func(string) string {
		return func(value string) string { return strings.Replace(value, old, new, 1) }
	}
	for name, forge := range map[string]func(value string) string{
		"another body":        change(`"id":"1"`, `"id":"2"`),
		"another status":      change(`"status":201`, `"status":200`),
		"another fingerprint": change(`"fingerprint":"print"`, `"fingerprint":"other"`),
		"no MAC":              func(string) string { return `{"fingerprint":"print","status":201,"body":{"id":"1"}}` },
		"an empty MAC":        func(string) string { return `{"fingerprint":"print","status":201,"body":{"id":"1"},"mac":""}` },
	} {
		in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
			var r running
			if _, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil)); err != nil {
				t.Fatal(err)
			}
			item := store.item("key")
			forged := forge(string(item.Value))
			if forged == string(item.Value) {
				t.Fatalf("%s: nothing is forged in %s", name, item.Value)
			}
			store.put("key", forged)
			store.put("another key", string(item.Value)) // a genuine answer, to another request
			for _, key := range []string{"key", "another key"} {
				answer, err := memory.Once(t.Context(), key, "print", r.answers(created, nil))
				if err != nil || answer.Replayed {
					t.Errorf("%s under %s: %+v, %v, want the request to run", name, key, answer, err)
				}
			}
			if r.times != 3 {
				t.Errorf("%s: ran %d times, want 3", name, r.times)
			}
		})
	}
}

// Answers from before a rotation are valid as long as the memory has the old key, and not afterwards.
func TestKeysRotate(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, _ *idempotency.Memory) {
		older, newer := []byte("older"), []byte("newer")
		var r running
		for i, test := range []struct {
			keys     [][]byte
			replayed bool
		}{
			{[][]byte{older}, false},
			{[][]byte{newer, older}, true},
			{[][]byte{newer}, false},
			{[][]byte{newer}, true},
		} {
			memory := idempotency.New(store, idempotency.Config{TTL: time.Hour}, test.keys)
			answer, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil))
			if err != nil || answer.Replayed != test.replayed {
				t.Errorf("%d: %+v, %v, want replayed %t", i, answer, err, test.replayed)
			}
			memory.Close()
		}
	})
}

func TestAnotherKeyIsAnotherRequest(t *testing.T) {
	in(t, func(t *testing.T, _ *stateStore, memory *idempotency.Memory) {
		var r running
		for _, key := range []string{"a", "b"} {
			if answer, err := memory.Once(t.Context(), key, "print", r.answers(created, nil)); err != nil || answer.Replayed {
				t.Errorf("%s: %+v, %v", key, answer, err)
			}
			synctest.Wait()
		}
		if r.times != 2 {
			t.Errorf("ran %d times", r.times)
		}
	})
}

func TestConflict(t *testing.T) {
	in(t, func(t *testing.T, _ *stateStore, memory *idempotency.Memory) {
		var r running
		if _, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		answer, err := memory.Once(t.Context(), "key", "other", r.answers(created, nil))
		if !errors.Is(err, fault.ErrKeyReused) || answer.Status != 0 || r.times != 1 {
			t.Errorf("another payload: %+v, %v, ran %d times", answer, err, r.times)
		}
		if answer, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil)); err != nil || !answer.Replayed {
			t.Errorf("the first payload again: %+v, %v", answer, err)
		}
	})
}

// Every definitive answer comes back byte for byte, whatever its body.
func TestEveryDefinitiveAnswerIsKept(t *testing.T) {
	for _, want := range []web.Answer{
		web.NoContent(),
		{Status: 200, Body: []byte(`{}`)},
		{Status: 200, Body: []byte(`[]`)},
		{Status: 200, Body: []byte(`""`)},
		{Status: 200, Body: []byte(`null`)},
		{Status: 200, Body: []byte(`true`)},
		{Status: 200, Body: []byte(`{"b":1,"a":10000000000000000001,"c":"<&>é 😀 \n"}`)},
		{Status: 400, Body: []byte(`{"message":"Saldo insuficiente.","type":"INSUFFICIENT_BALANCE"}`)},
		{Status: 404, Body: []byte(`{"message":"Não há.","type":"NOT_FOUND"}`)},
	} {
		in(t, func(t *testing.T, _ *stateStore, memory *idempotency.Memory) {
			var r running
			for range 2 {
				got, err := memory.Once(t.Context(), "key", "print", r.answers(want, nil))
				if err != nil || got.Status != want.Status || string(got.Body) != string(want.Body) || (got.Body == nil) != (want.Body == nil) {
					t.Errorf("%d %s: %d %s, %v", want.Status, want.Body, got.Status, got.Body, err)
				}
				synctest.Wait()
			}
			if r.times != 1 {
				t.Errorf("%d %s: ran %d times", want.Status, want.Body, r.times)
			}
		})
	}
}

func TestIndefiniteAnswersAreNotSaved(t *testing.T) {
	for name, test := range map[string]struct {
		answer web.Answer
		err    error
	}{
		"accepted":       {web.Answer{Status: 202, Body: []byte(`{"status":"PENDING"}`)}, nil},
		"in progress":    {web.Answer{}, fault.ErrInProgress},
		"unavailable":    {web.Answer{}, fault.Away(errors.New("database"))},
		"unknown error":  {web.Answer{}, errors.New("defect")},
		"conflict below": {web.Answer{}, fault.ErrKeyReused},
	} {
		in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
			var r running
			for range 2 {
				if got, err := memory.Once(t.Context(), "key", "print", r.answers(test.answer, test.err)); !errors.Is(err, test.err) || got.Status != test.answer.Status {
					t.Errorf("%s: %+v, %v", name, got, err)
				}
				synctest.Wait()
			}
			if _, saves := store.calls(); r.times != 2 || saves != 0 {
				t.Errorf("%s: ran %d times, %d saves", name, r.times, saves)
			}
		})
	}
}

// While the store does not answer, everything works. The memory then calls the store once a second, not for every request.
func TestStoreOutage(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		store.set(0, errors.New("connection refused"))
		var r running
		once := func() {
			t.Helper()
			if got, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil)); err != nil || got.Status != 201 || got.Replayed {
				t.Errorf("%+v, %v", got, err)
			}
			synctest.Wait()
		}
		once()
		for range 10 {
			time.Sleep(90 * time.Millisecond)
			once()
		}
		if gets, saves := store.calls(); gets != 1 || saves != 0 {
			t.Errorf("during the rest: %d gets, %d saves, want the first get only", gets, saves)
		}
		time.Sleep(time.Second)
		once()
		if gets, _ := store.calls(); gets != 2 {
			t.Errorf("after the rest: %d gets, want 2", gets)
		}
		if r.times != 12 {
			t.Errorf("ran %d times, want every time", r.times)
		}
		store.set(0, nil)
		time.Sleep(time.Second)
		once() // runs, and the memory saves the answer
		if got, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil)); err != nil || !got.Replayed {
			t.Errorf("with the store back: %+v, %v", got, err)
		}
	})
}

func TestFailedSavePausesCallsToTheStore(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		var r running
		_, err := memory.Once(t.Context(), "key", "print", func(context.Context) (web.Answer, error) {
			store.set(0, errors.New("disk full"))
			return created, nil
		})
		if err != nil {
			t.Errorf("the caller learns of a failed save: %v", err)
		}
		synctest.Wait()
		if _, err := memory.Once(t.Context(), "other", "print", r.answers(created, nil)); err != nil {
			t.Error(err)
		}
		if gets, saves := store.calls(); gets != 1 || saves != 1 {
			t.Errorf("%d gets, %d saves, want 1 and 1", gets, saves)
		}
	})
}

// A slow store delays one request by a quarter of a second, and the next requests not at all.
func TestSlowStore(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		store.set(time.Hour, nil)
		var r running
		for _, want := range []time.Duration{250 * time.Millisecond, 0, 0} {
			begin := time.Now()
			if _, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil)); err != nil {
				t.Error(err)
			}
			if took := time.Since(begin); took != want {
				t.Errorf("the store's slowness cost %v, want %v", took, want)
			}
		}
	})
}

// The answer does not wait for the save.
func TestAnswerDoesNotWaitForTheSave(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		begin := time.Now()
		_, err := memory.Once(t.Context(), "key", "print", func(context.Context) (web.Answer, error) {
			store.set(3*time.Second, nil)
			return created, nil
		})
		if err != nil || time.Since(begin) != 0 {
			t.Errorf("answered after %v, %v", time.Since(begin), err)
		}
		memory.Close()
		if took := time.Since(begin); took != 3*time.Second || store.size() != 1 {
			t.Errorf("Close returned after %v with %d answers saved", took, store.size())
		}
	})
}

// If a caller gives up after the answer, the memory still saves it. If a caller gives up before, that is no failure of the
// store.
func TestCallerGivesUp(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		ctx, cancel := context.WithCancel(t.Context())
		var r running
		if _, err := memory.Once(ctx, "key", "print", r.answers(created, nil)); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if store.size() != 1 {
			t.Error("the answer was not saved")
		}
		store.set(100*time.Millisecond, nil)
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, _ = memory.Once(ctx, "key", "print", r.answers(web.Answer{}, context.Canceled))
		if got, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil)); err != nil || !got.Replayed {
			t.Errorf("the next caller: %+v, %v, want a replay: the store was not away", got, err)
		}
	})
}

func TestUnreadableAnswer(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		store.items["key"] = sidecar.StateItem{Key: "key", Value: []byte(`{"fingerprint":7}`)}
		var r running
		got, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil))
		if err != nil || got.Status != 201 || got.Replayed || r.times != 1 {
			t.Errorf("%+v, %v, ran %d times", got, err, r.times)
		}
		synctest.Wait()
		if got, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil)); err != nil || !got.Replayed {
			t.Errorf("again: %+v, %v: the store was not away, and the answer replaces what was unreadable", got, err)
		}
	})
}

// Requests that arrive together share calls to the store, even if they have the same key.
func TestRequestsTogether(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		store.set(10*time.Millisecond, nil)
		var all sync.WaitGroup
		const keys, each = 40, 5
		for n := range keys * each {
			key := fmt.Sprint("key ", n%keys)
			all.Go(func() {
				got, err := memory.Once(t.Context(), key, "print", func(context.Context) (web.Answer, error) {
					return web.Answer{Status: 200, Body: []byte(`"` + key + `"`)}, nil
				})
				if err != nil || string(got.Body) != `"`+key+`"` {
					t.Errorf("%s: %s, %v", key, got.Body, err)
				}
			})
		}
		all.Wait()
		time.Sleep(time.Second)
		if store.size() != keys {
			t.Errorf("%d answers kept, want %d", store.size(), keys)
		}
		for n := range keys {
			key := fmt.Sprint("key ", n)
			if value, want := string(store.item(key).Value), `"body":"`+key+`"`; !strings.Contains(value, want) {
				t.Errorf("%s holds %s", key, value)
			}
		}
		if gets, saves := store.calls(); gets > 5 || saves > 5 {
			t.Errorf("%d gets and %d saves for %d requests", gets, saves, keys*each)
		}
	})
}

// While the store hangs, requests do not wait for it, the number of unsaved answers is bounded, and the service can stop.
func TestHangingStoreUnderLoad(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		begin := time.Now()
		for n := range 20_000 {
			if n == 1 {
				store.set(time.Hour, nil)
			}
			if n == 2 { // the first read waits in vain; then the memory does not call the store, and all others only save
				time.Sleep(time.Second)
			}
			if _, err := memory.Once(t.Context(), fmt.Sprint(n), "print", func(context.Context) (web.Answer, error) { return created, nil }); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("the requests took %v", took)
		}
		begin = time.Now()
		memory.Close()
		if took := time.Since(begin); took > 6*time.Second {
			t.Errorf("Close took %v, want one flight's timeout at most", took)
		}
	})
}

func TestKeyIsFitForAnyStore(t *testing.T) {
	fit := regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	seen := map[string]string{}
	long := strings.Repeat("x", 255)
	for _, scope := range []string{"", "account 1", "account 11", "a||b"} {
		for _, id := range []string{"", "1", "11", "||", "a||b", "/", "../x", "ação", "😀", " ", "\x00", "\n", long, long + "x"} {
			key := idempotency.Key(scope, id)
			if !fit.MatchString(key) {
				t.Errorf("%q, %.20q: key %q", scope, id, key)
			}
			if other, ok := seen[key]; ok {
				t.Errorf("%q, %.20q has the key of %s", scope, id, other)
			}
			seen[key] = fmt.Sprintf("%q, %.20q", scope, id)
		}
	}
}

func TestFingerprintKeepsFieldsApart(t *testing.T) {
	seen := map[string][]string{}
	for _, fields := range [][]string{
		nil, {""}, {"", ""}, {"a"}, {"a", ""}, {"", "a"}, {"a", "b"}, {"ab"}, {"ab", ""}, {"a,b"}, {"a\x01b"}, {"a\x00b"}, {"a|b"}, {"a", "\x01b"},
		{"\x01a\x01b"}, {"b", "a"}, {"A", "b"}, {"10", "0.00"}, {"100", ".00"}, {strings.Repeat("x", 127)}, {strings.Repeat("x", 128)},
	} {
		print := idempotency.Fingerprint(fields...)
		if other, ok := seen[print]; ok {
			t.Errorf("%q and %q have the same fingerprint", fields, other)
		}
		seen[print] = fields
		if idempotency.Fingerprint(fields...) != print {
			t.Errorf("%q has two fingerprints", fields)
		}
	}
}

// Two lists of fields have the same fingerprint if and only if they are equal, wherever the boundaries between fields lie.
func FuzzFingerprint(f *testing.F) {
	f.Add("a|b", "ab", "|")
	f.Add("", "|", "|")
	f.Add("\x01a", "a", "a")
	f.Add("a||b", "a|b", "|")
	f.Add("a\x00b", "a\x00\x00b", "\x00")
	f.Fuzz(func(t *testing.T, a, b, separator string) {
		x, y := strings.Split(a, separator), strings.Split(b, separator)
		if same := idempotency.Fingerprint(x...) == idempotency.Fingerprint(y...); same != slices.Equal(x, y) {
			t.Errorf("%q and %q: same fingerprint %t", x, y, same)
		}
		if same := idempotency.Fingerprint(a) == idempotency.Fingerprint(x...); same != (len(x) == 1 && x[0] == a) {
			t.Errorf("%q and %q: same fingerprint %t", a, x, same)
		}
		for i := range len(a) {
			if idempotency.Fingerprint(a) == idempotency.Fingerprint(a[:i], a[i:]) {
				t.Errorf("%q cut at %d has the fingerprint of the whole", a, i)
			}
		}
	})
}
