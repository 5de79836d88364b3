package idempotency_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/platform/batch"
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

// settle lets the memory save the answers that wait.
func settle() {
	time.Sleep(200 * time.Millisecond)
	synctest.Wait()
}

// item returns what the store holds under key, once the memory has saved.
func (s *stateStore) item(key string) sidecar.StateItem {
	settle()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.items[key]
}

// size returns the number of keys, once the memory has saved.
func (s *stateStore) size() int {
	settle()
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

// repeats answers as the referee answers a repetition.
func (r *running) repeats(answer web.Answer) func(context.Context) (web.Answer, error) {
	answer.Replayed = true
	return r.answers(answer, nil)
}

// errAway is a database that does not answer.
var errAway = fault.Away(errors.New("database"))

// reworded is what the referee makes of created, in words that tell it from the remembered answer.
var reworded = web.Answer{Status: 201, Body: []byte(`{"id":"1","name":"from the database"}`)}

// recalled reports whether answer is created from the memory. It fails the test if answer is not from the referee either.
func recalled(t *testing.T, answer web.Answer, err error) bool {
	t.Helper()
	if err != nil || answer.Status != 201 || !answer.Replayed {
		t.Fatalf("%+v, %v, want the answer to a repetition", answer, err)
	}
	if body := string(answer.Body); body != string(created.Body) && body != string(reworded.Body) {
		t.Fatalf("the answer is %s", body)
	}
	return string(answer.Body) == string(created.Body)
}

var created = web.Answer{Status: 201, Body: []byte(`{"id":"1","name":"José <&> 😀"}`)}

// A first request costs no read. Its repetition gets the first answer byte for byte, whatever the referee makes of it now.
func TestReplay(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		var r running
		first, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil))
		if diff := cmp.Diff(created, first); diff != "" || err != nil {
			t.Errorf("first: %v (-want +got):\n%s", err, diff)
		}
		settle()
		if gets, saves := store.calls(); gets != 0 || saves != 1 {
			t.Errorf("a first request costs %d reads and %d saves, want none and 1", gets, saves)
		}
		want := created
		want.Replayed = true
		again, err := memory.Once(t.Context(), "key", "print", r.repeats(reworded))
		if diff := cmp.Diff(want, again); diff != "" || err != nil {
			t.Errorf("again: %v (-want +got):\n%s", err, diff)
		}
		if ttl := store.item("key").TTL; ttl != 24*time.Hour {
			t.Errorf("kept for %v", ttl)
		}
		if gets, saves := store.calls(); gets != 1 || saves != 1 || r.times != 2 {
			t.Errorf("%d reads, %d saves, ran %d times", gets, saves, r.times)
		}
	})
}

// After a failed save the memory saves again by itself, although nobody repeats a request.
func TestSavesBeginAgain(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		var r running
		once := func(key string) {
			if _, err := memory.Once(t.Context(), key, "print", r.answers(created, nil)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		store.set(0, errors.New("away"))
		once("lost")
		store.set(0, nil)
		for n := range 60 {
			once(fmt.Sprint(n))
		}
		if n := store.size(); n < 58 {
			t.Errorf("a minute after the failure the store holds %d of 60 answers", n)
		}
	})
}

// If the store does not say what it holds, the answer to a repetition does not replace the first answer.
func TestFirstAnswerIsNotReplaced(t *testing.T) {
	for name, unanswered := range map[string]func(t *testing.T, store *stateStore, memory *idempotency.Memory){
		"the caller leaves": func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
			store.set(50*time.Millisecond, nil)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			var r running
			_, _ = memory.Once(ctx, "key", "print", r.repeats(reworded))
		},
		"the store is away": func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
			store.set(0, errors.New("away"))
			var r running
			_, _ = memory.Once(t.Context(), "other", "print", r.repeats(reworded)) // fails
			store.set(0, nil)
			time.Sleep(950 * time.Millisecond)
			_, _ = memory.Once(t.Context(), "key", "print", r.repeats(reworded)) // is not sent
			time.Sleep(60 * time.Millisecond)
			_, _ = memory.Once(t.Context(), "another", "print", r.repeats(reworded)) // succeeds
		},
	} {
		in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
			var r running
			if _, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil)); err != nil {
				t.Fatal(err)
			}
			settle()
			unanswered(t, store, memory)
			settle()
			if answer, err := memory.Once(t.Context(), "key", "print", r.repeats(reworded)); !recalled(t, answer, err) {
				t.Errorf("%s: %s", name, answer.Body)
			}
		})
	}
}

// A request that the service sheds does not ask the store: that would make the overload worse.
func TestShedRequestsAskNothing(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		var r running
		_, err := memory.Once(t.Context(), "key", "print", r.answers(web.Answer{}, batch.ErrOverloaded))
		if gets, _ := store.calls(); !errors.Is(err, batch.ErrOverloaded) || gets != 0 {
			t.Errorf("%v, %d reads", err, gets)
		}
	})
}

// While the database is away, the memory answers the requests that it knows.
func TestDatabaseAway(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		var r running
		if _, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil)); err != nil {
			t.Fatal(err)
		}
		settle()
		away := r.answers(web.Answer{}, errAway)
		if answer, err := memory.Once(t.Context(), "key", "print", away); !recalled(t, answer, err) {
			t.Errorf("a known request: %+v", answer)
		}
		if answer, err := memory.Once(t.Context(), "key", "other", away); !errors.Is(err, fault.ErrKeyReused) || answer.Status != 0 {
			t.Errorf("another payload: %+v, %v", answer, err)
		}
		if answer, err := memory.Once(t.Context(), "another key", "print", away); !errors.Is(err, errAway) || answer.Status != 0 {
			t.Errorf("an unknown request: %+v, %v", answer, err)
		}
		if store.size() != 1 {
			t.Error("a failure was remembered")
		}
	})
}

// After a restore from a backup the database may decide anew about a request that the memory knows. The database wins: a
// request that it does not know runs, and until the new answer is saved, its repetitions do not get the old one.
func TestDatabaseWins(t *testing.T) {
	refusal := web.Answer{Status: 400, Body: []byte(`{"type":"INSUFFICIENT_BALANCE"}`)}
	for name, anew := range map[string]struct {
		print  string
		answer web.Answer
	}{"another outcome": {"print", refusal}, "another payload": {"other", reworded}} {
		in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
			var r running
			if _, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil)); err != nil {
				t.Fatal(err)
			}
			settle()
			for _, run := range []func(context.Context) (web.Answer, error){r.answers(anew.answer, nil), r.repeats(anew.answer)} {
				answer, err := memory.Once(t.Context(), "key", anew.print, run)
				if err != nil || answer.Status != anew.answer.Status || string(answer.Body) != string(anew.answer.Body) {
					t.Errorf("%s: %+v, %v", name, answer, err)
				}
			}
			if value := string(store.item("key").Value); !strings.Contains(value, `"body":`+string(anew.answer.Body)) {
				t.Errorf("%s: the memory keeps %s", name, value)
			}
		})
	}
}

// The memory does not believe an answer that somebody else has written to the store: the referee's answer counts.
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
				if answer, err := memory.Once(t.Context(), key, "print", r.answers(web.Answer{}, errAway)); !errors.Is(err, errAway) {
					t.Errorf("%s under %s, without a database: %+v, %v", name, key, answer, err)
				}
				if answer, err := memory.Once(t.Context(), key, "print", r.repeats(reworded)); recalled(t, answer, err) || err != nil {
					t.Errorf("%s under %s: %s is believed", name, key, answer.Body)
				}
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
			run      func(context.Context) (web.Answer, error)
			recalled bool
		}{
			{[][]byte{older}, r.answers(created, nil), true},
			{[][]byte{newer, older}, r.repeats(reworded), true},
			{[][]byte{newer}, r.repeats(reworded), false},
		} {
			memory := idempotency.New(store, idempotency.Config{TTL: time.Hour}, test.keys)
			answer, err := memory.Once(t.Context(), "key", "print", test.run)
			if err != nil || (string(answer.Body) == string(created.Body)) != test.recalled {
				t.Errorf("%d: %s, %v, want the first answer: %t", i, answer.Body, err, test.recalled)
			}
			memory.Close()
		}
	})
}

func TestAnotherKeyIsAnotherRequest(t *testing.T) {
	in(t, func(t *testing.T, _ *stateStore, memory *idempotency.Memory) {
		var r running
		if _, err := memory.Once(t.Context(), "a", "print", r.answers(created, nil)); err != nil {
			t.Fatal(err)
		}
		settle()
		if answer, err := memory.Once(t.Context(), "b", "print", r.repeats(reworded)); recalled(t, answer, err) {
			t.Errorf("b has the answer to a: %s", answer.Body)
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
			other := web.Answer{Status: want.Status, Body: []byte(`{"other":true}`)}
			for n, run := range []func(context.Context) (web.Answer, error){r.answers(want, nil), r.repeats(other)} {
				got, err := memory.Once(t.Context(), "key", "print", run)
				if err != nil || got.Replayed != (n == 1) || got.Status != want.Status || string(got.Body) != string(want.Body) || (got.Body == nil) != (want.Body == nil) {
					t.Errorf("%d %s: %d %s, %v", want.Status, want.Body, got.Status, got.Body, err)
				}
				settle()
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
				settle()
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
		repeat := func() bool {
			t.Helper()
			answer, err := memory.Once(t.Context(), "key", "print", r.repeats(reworded))
			return recalled(t, answer, err)
		}
		repeat()
		for range 10 {
			time.Sleep(90 * time.Millisecond)
			repeat()
		}
		if gets, saves := store.calls(); gets != 1 || saves != 0 {
			t.Errorf("within a second: %d gets, %d saves, want the first get only", gets, saves)
		}
		time.Sleep(time.Second)
		repeat()
		if gets, _ := store.calls(); gets != 2 {
			t.Errorf("after a second: %d gets, want 2", gets)
		}
		store.set(0, nil)
		time.Sleep(time.Second + time.Millisecond)
		repeat() // tries the store, which has nothing
		if _, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil)); err != nil {
			t.Error(err)
		}
		settle()
		if !repeat() {
			t.Error("with the store back the memory does not answer")
		}
	})
}

// When the store stops answering, and when it answers again, one line of the log says so, however long that takes.
func TestOutageIsLoggedOnce(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		var log bytes.Buffer
		slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
		var r running
		repeat := func() {
			t.Helper()
			if _, err := memory.Once(t.Context(), "key", "print", r.repeats(created)); err != nil {
				t.Fatal(err)
			}
			settle()
		}
		store.set(0, errors.New("connection refused"))
		for range 20 {
			repeat()
			time.Sleep(time.Second)
		}
		store.set(0, nil)
		for range 3 {
			repeat()
			time.Sleep(time.Second)
		}
		if down, up := strings.Count(log.String(), "connection refused"), strings.Count(log.String(), "answers again"); down != 1 || up != 1 {
			t.Errorf("%d lines of the outage and %d of its end:\n%s", down, up, &log)
		}
	})
}

// A second after a failure, one request tries the store. The others do without it until that request has the store's answer.
func TestOneRequestTriesAStoreThatHasFailed(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		var r running
		if _, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil)); err != nil {
			t.Fatal(err)
		}
		settle()
		store.set(0, errors.New("connection refused"))
		replayed := func() bool {
			var own running
			answer, err := memory.Once(t.Context(), "key", "print", own.repeats(reworded))
			return err == nil && string(answer.Body) == string(created.Body)
		}
		replayed()
		time.Sleep(time.Second + time.Millisecond)
		store.set(90*time.Millisecond, nil)
		before, saved := store.calls()
		var callers sync.WaitGroup
		var waited, replays atomic.Int64
		for range 20 {
			callers.Go(func() {
				began := time.Now()
				if replayed() {
					replays.Add(1)
				}
				if time.Since(began) > 0 {
					waited.Add(1)
				}
			})
		}
		callers.Wait()
		if after, saves := store.calls(); after-before != 1 || waited.Load() != 1 || replays.Load() != 1 || saves != saved {
			t.Errorf("%d gets, %d requests waited, %d replayed, %d saves; want 1 of each, and no save", after-before, waited.Load(), replays.Load(), saves-saved)
		}
		if !replayed() {
			t.Error("the store answers again, and the memory does not ask it")
		}
	})
}

func TestFailedSavePausesCallsToTheStore(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		store.set(0, errors.New("disk full"))
		var r running
		if _, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil)); err != nil {
			t.Errorf("the caller learns of a failed save: %v", err)
		}
		settle()
		for _, run := range []func(context.Context) (web.Answer, error){r.answers(created, nil), r.repeats(reworded)} {
			if _, err := memory.Once(t.Context(), "other", "print", run); err != nil {
				t.Error(err)
			}
		}
		settle()
		if gets, saves := store.calls(); gets != 0 || saves != 1 {
			t.Errorf("%d gets, %d saves, want none and 1", gets, saves)
		}
	})
}

// A slow store delays one repetition by a quarter of a second, and the next ones not at all. It never delays a first request.
func TestSlowStore(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		store.set(time.Hour, nil)
		var r running
		first, again := r.answers(created, nil), r.repeats(reworded)
		for i, step := range []struct {
			run  func(context.Context) (web.Answer, error)
			want time.Duration
		}{{first, 0}, {again, 250 * time.Millisecond}, {again, 0}, {again, 0}, {first, 0}} {
			begin := time.Now()
			if _, err := memory.Once(t.Context(), "key", "print", step.run); err != nil {
				t.Error(err)
			}
			if took := time.Since(begin); took != step.want {
				t.Errorf("%d: the store's slowness cost %v, want %v", i, took, step.want)
			}
		}
	})
}

// The answers of a tenth of a second are saved in one call, behind the clients' backs. Many answers do not wait longer than a
// few: further calls follow at once.
func TestAnswersAreSavedTogether(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		var r running
		once := func(n int) {
			if _, err := memory.Once(t.Context(), fmt.Sprint(n), "print", r.answers(created, nil)); err != nil {
				t.Error(err)
			}
		}
		for n := range 9 {
			once(n)
			time.Sleep(10 * time.Millisecond)
		}
		if _, saves := store.calls(); saves != 0 {
			t.Errorf("%d saves after 90 ms, want none", saves)
		}
		time.Sleep(20 * time.Millisecond)
		if _, saves := store.calls(); saves != 1 || len(store.items) != 9 {
			t.Errorf("after 110 ms: %d answers saved in %d calls, want 9 in 1", len(store.items), saves)
		}
		for n := range 600 {
			once(100 + n)
		}
		time.Sleep(190 * time.Millisecond)
		if _, saves := store.calls(); saves != 4 || len(store.items) != 609 {
			t.Errorf("in the end: %d answers saved in %d calls, want 609 in 4", len(store.items), saves)
		}
	})
}

// The client's answer does not wait for the save. Close waits for it, and does not wait for more answers to gather.
func TestAnswerDoesNotWaitForTheSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		memory := idempotency.New(store, idempotency.Config{TTL: time.Hour}, [][]byte{[]byte("key")})
		store.set(3*time.Second, nil)
		begin := time.Now()
		var r running
		_, err := memory.Once(t.Context(), "key", "print", r.answers(created, nil))
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
		if store.size() != 1 {
			t.Error("the answer was not saved")
		}
		store.set(100*time.Millisecond, nil)
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, _ = memory.Once(ctx, "key", "print", r.repeats(reworded))
		if answer, err := memory.Once(t.Context(), "key", "print", r.repeats(reworded)); !recalled(t, answer, err) {
			t.Error("the next caller is not answered by the memory, although the store was not away")
		}
	})
}

func TestUnreadableAnswer(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		store.put("key", `{"fingerprint":7}`)
		var r running
		if answer, err := memory.Once(t.Context(), "key", "print", r.repeats(reworded)); recalled(t, answer, err) {
			t.Errorf("%s", answer.Body)
		}
		settle()
		var other running
		answer, err := memory.Once(t.Context(), "key", "print", other.repeats(created))
		if err != nil || string(answer.Body) != string(reworded.Body) {
			t.Errorf("again: %s, %v: the store was not away, and the answer replaces what was unreadable", answer.Body, err)
		}
	})
}

// Repetitions that arrive together share calls to the store, even if they have the same key.
func TestRequestsTogether(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		store.set(10*time.Millisecond, nil)
		var all sync.WaitGroup
		const keys, each = 40, 5
		for n := range keys * each {
			key := fmt.Sprint("key ", n%keys)
			all.Go(func() {
				got, err := memory.Once(t.Context(), key, "print", func(context.Context) (web.Answer, error) {
					return web.Answer{Status: 200, Body: []byte(`"` + key + `"`), Replayed: n >= keys}, nil
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
		if gets, saves := store.calls(); gets > 5 || saves > 1 {
			t.Errorf("%d gets and %d saves for %d requests", gets, saves, keys*each)
		}
	})
}

// While the store hangs, requests do not wait for it, the number of unsaved answers is bounded, and the service can stop.
func TestHangingStoreUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		memory := idempotency.New(store, idempotency.Config{TTL: time.Hour}, [][]byte{[]byte("key")})
		store.set(time.Hour, nil)
		begin := time.Now()
		var r running
		for n := range 20_000 {
			if n == 10 {
				time.Sleep(time.Second) // the saver hangs in a call
			}
			if _, err := memory.Once(t.Context(), fmt.Sprint(n), "print", r.answers(created, nil)); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("the requests took %v more", took-time.Second)
		}
		store.set(0, nil) // the calls that follow succeed at once
		begin = time.Now()
		memory.Close()
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("Close took %v, want the rest of one call's timeout at most", took)
		}
		if gets, saves := store.calls(); gets != 0 || saves != 1 {
			t.Errorf("%d gets, %d saves: want the save that hung only, since the store has failed", gets, saves)
		}
	})
}

// Of answers that come faster than the store can save them, the memory keeps a bounded number.
func TestUnsavedAnswersAreBounded(t *testing.T) {
	in(t, func(t *testing.T, store *stateStore, memory *idempotency.Memory) {
		var r running
		for n := range 10_000 {
			if _, err := memory.Once(t.Context(), fmt.Sprint(n), "print", r.answers(created, nil)); err != nil {
				t.Fatal(err)
			}
		}
		if kept := store.size(); kept != 8192 {
			t.Errorf("%d answers kept, want 8192", kept)
		}
	})
}

// Requests that outlast the drain of their server go on while the memory closes and after that. They get their answers. Once Close
// has returned, nothing is saved any more.
func TestRequestsOutlastClose(t *testing.T) {
	before := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	defer slog.SetDefault(before)
	for range 50 {
		store := newStore()
		memory := idempotency.New(store, idempotency.Config{TTL: time.Hour}, [][]byte{[]byte("key")})
		ask := func(key string) {
			answer, err := memory.Once(t.Context(), key, "print", func(context.Context) (web.Answer, error) { return created, nil })
			if err != nil || answer.Status != created.Status {
				t.Errorf("%+v, %v", answer, err)
			}
		}
		var late sync.WaitGroup
		for client := range 4 {
			late.Go(func() {
				for n := range 20 {
					ask(fmt.Sprint(client, "-", n))
				}
			})
		}
		memory.Close()
		_, saves := store.calls()
		late.Wait()
		ask("last")
		time.Sleep(time.Millisecond) // a save that began now would be counted
		if _, after := store.calls(); after != saves {
			t.Fatalf("%d calls after Close", after-saves)
		}
	}
}

// A slow store delays the end of the service by five seconds at most.
func TestCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := slog.Default()
		slog.SetDefault(slog.New(slog.DiscardHandler))
		defer slog.SetDefault(before)
		store := newStore()
		memory := idempotency.New(store, idempotency.Config{TTL: time.Hour}, [][]byte{[]byte("key")})
		store.set(4*time.Second, nil)
		var r running
		for n := range 1000 {
			if _, err := memory.Once(t.Context(), fmt.Sprint(n), "print", r.answers(created, nil)); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		memory.Close()
		if took := time.Since(begin); took != 5*time.Second || len(store.items) != 256 {
			t.Errorf("Close took %v and saved %d answers, want 5s and 256", took, len(store.items))
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
