package rediscache_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/rediscache"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

func open(t *testing.T, config rediscache.Config) *rediscache.Client {
	t.Helper()
	return opened(t, config, rediscache.Open)
}

func opened(t *testing.T, config rediscache.Config, open func(rediscache.Config) (*rediscache.Client, error)) *rediscache.Client {
	t.Helper()
	client, err := open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func register(t *testing.T, store customer.Store) {
	t.Helper()
	err := store.Register(t.Context(), customer.Registration{
		Customer: customer.Customer{AccountID: "id-11", Number: "11", Name: "Ana"}, CPFHash: "cpf", CreatedAt: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func deposit(t *testing.T, store ledger.Store, key string, amount money.Cents) {
	t.Helper()
	apply(t, store, ledger.Command{
		RequestKey: key, Fingerprint: key, AccountNumber: "11", Type: ledger.Credit, Kind: ledger.Deposit, Amount: amount,
	})
}

// closed withdraws the balance of account 11, through the store, and closes the account.
func closed(t *testing.T, store rediscache.Store, balance money.Cents) {
	t.Helper()
	apply(t, store, ledger.Command{
		RequestKey: "all", Fingerprint: "all", AccountNumber: "11", Type: ledger.Debit, Kind: ledger.Withdrawal, Amount: balance,
	})
	if err := store.Deactivate(t.Context(), "id-11", time.Now()); err != nil {
		t.Error(err)
	}
}

func apply(t *testing.T, store ledger.Store, c ledger.Command) {
	t.Helper()
	if result, err := ledger.ApplyOne(t.Context(), ledger.New(store), c); err != nil || result.Refusal != nil {
		t.Errorf("%+v, %v", result, err)
	}
}

func want(t *testing.T, store ledger.Store, balance money.Cents) {
	t.Helper()
	if a, err := store.Balance(t.Context(), "id-11"); err != nil || a.Balance != balance || a.ID != "id-11" || a.Number != "11" || a.Owner != "Ana" || !a.Active {
		t.Errorf("%+v, %v, want a balance of %d", a, err, balance)
	}
}

// metric returns the value of a metric of this process, with one label or none.
func metric(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			labels := m.GetLabel()
			if family.GetName() == name && (label == "" || len(labels) == 1 && labels[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() // one of the two is absent
			}
		}
	}
	return 0
}

func up(t *testing.T, value float64) {
	t.Helper()
	if got := metric(t, "bankmore_redis_up", ""); got != value {
		t.Errorf("bankmore_redis_up is %v", got)
	}
}

// wantTries checks how many calls have failed since a time, whatever the machine's speed: one, and one more a second.
func wantTries(t *testing.T, failed float64, since time.Time) {
	t.Helper()
	if most := 1 + time.Since(since).Seconds(); failed < 1 || failed > most {
		t.Errorf("%v calls have failed, want 1 to %.1f", failed, most)
	}
}

// captureLog returns a function that returns everything logged since the call.
func captureLog(t *testing.T) func() string {
	t.Helper()
	var mu sync.Mutex
	var text strings.Builder
	usual := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return text.Write(p)
	}), nil)))
	t.Cleanup(func() { slog.SetDefault(usual) })
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return text.String()
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// away returns two URLs: at one a server accepts connections and never answers, at the other there is no server.
func away(t *testing.T) map[string]string {
	t.Helper()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	return map[string]string{"silent": "redis://" + silent.Addr().String(), "closed": "redis://" + closed.Addr().String()}
}

// While Redis refuses connections, or accepts them and never answers, everything works, and hardly any call waits.
func TestRedisOutage(t *testing.T) {
	for name, url := range away(t) {
		t.Run(name, func(t *testing.T) {
			log, failures := captureLog(t), metric(t, "bankmore_redis_failures_total", "")
			client := open(t, rediscache.Config{URL: url, BalanceTTL: time.Second})
			up(t, 1) // nothing is known yet
			store := rediscache.NewBalances(sqlstore.New(sqldbtest.SQLite.Open(t, sqlstore.Migrations())), client)
			register(t, store)
			began := time.Now()
			for n := range 50 {
				deposit(t, store, string(rune('a'+n)), 10)
				want(t, store, money.Cents(10*(n+1)))
			}
			if took := time.Since(began); took > 3*time.Second { // 100 calls, of which one a second may wait for 100 ms
				t.Errorf("50 deposits and readings took %s", took)
			}
			up(t, 0)
			wantTries(t, metric(t, "bankmore_redis_failures_total", "")-failures, began)
			if n := strings.Count(log(), "redis does not answer; going on without it"); n != 1 {
				t.Errorf("%d lines in the log", n)
			}
			counter := rediscache.NewCounter(client, []byte("key"))
			if _, err := counter.Take(t.Context(), "who", 5, time.Minute); err == nil {
				t.Error("an attempt that nobody counted is no error")
			}
			if _, err := counter.Peek(t.Context(), "who", 5, time.Minute); err == nil {
				t.Error("a count that nobody knows is no error")
			}
			closed(t, store, 500)
			if a, err := store.Balance(t.Context(), "id-11"); err != nil || a.Active {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

// The first failure keeps the client from calling Redis for a second. Then one call tries Redis while the others fail at once.
// If the call fails, the next second begins; if it succeeds, everybody calls Redis again.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := rediscache.OpenNothing()
		errDown := errors.New("down")
		calls := 0
		call := func(answer error) error {
			return client.Try(t.Context(), func(context.Context) error {
				calls++
				return answer
			})
		}
		want := func(what string, n int) {
			t.Helper()
			if calls != n {
				t.Errorf("%s: %d calls, want %d", what, calls, n)
			}
			calls = 0
		}
		for range 3 {
			_ = call(nil)
		}
		want("while Redis answers", 3)
		for range 3 {
			if err := call(errDown); err == nil {
				t.Error("a failure, and no error")
			}
			time.Sleep(300 * time.Millisecond)
		}
		want("within a second after a failure", 1)
		for range 2 {
			time.Sleep(time.Second + time.Millisecond)
			err := client.Try(t.Context(), func(context.Context) error {
				calls++
				for range 3 {
					if call(nil) == nil { // beside the first
						t.Error("no call, and no error")
					}
				}
				return errDown
			})
			if !errors.Is(err, errDown) {
				t.Errorf("the call that tries: %v", err)
			}
			_ = call(nil)
			want("after a second", 1)
		}
		up(t, 0)
		time.Sleep(time.Second + time.Millisecond)
		left, leave := context.WithCancel(t.Context())
		leave()
		_ = client.Try(left, func(context.Context) error { calls++; return errDown }) // says nothing about Redis
		for range 3 {
			if err := call(nil); err != nil {
				t.Errorf("Redis answers again: %v", err)
			}
		}
		want("since Redis answers again", 4)
		up(t, 1)
	})
}

// While Redis does not answer, one caller a second waits for it, however many callers there are.
func TestOneCallerASecondTriesRedis(t *testing.T) {
	counter := rediscache.NewCounter(open(t, rediscache.Config{URL: away(t)["silent"], BalanceTTL: time.Second}), []byte("key"))
	take := func() {
		if _, err := counter.Take(t.Context(), "who", 5, time.Minute); err == nil {
			t.Error("an attempt that nobody counted is no error")
		}
	}
	before, began := metric(t, "bankmore_redis_failures_total", ""), time.Now()
	take() // fails; then nobody calls Redis for a second
	var callers sync.WaitGroup
	for range 200 {
		callers.Go(func() {
			for end := time.Now().Add(2500 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				take()
			}
		})
	}
	callers.Wait()
	failed := metric(t, "bankmore_redis_failures_total", "") - before
	wantTries(t, failed, began)
	if failed == 1 {
		t.Error("nobody tried Redis again")
	}
}

// A caller who gives up is no failure of Redis. An error of the database reaches the caller.
func TestErrorsOfTheStore(t *testing.T) {
	db := sqldbtest.SQLite.Open(t, sqlstore.Migrations())
	store := rediscache.NewBalances(sqlstore.New(db), open(t, rediscache.Config{URL: "redis://127.0.0.1:1", BalanceTTL: time.Second}))
	if _, err := store.Balance(t.Context(), "nobody"); !errors.Is(err, ledger.ErrUnknownAccount) {
		t.Errorf("Balance = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.Deactivate(ctx, "id-11", time.Now()); err == nil {
		t.Error("Deactivate with an ended context succeeds")
	}
	if err := store.Deactivate(t.Context(), "id-11", time.Now()); !errors.Is(err, customer.ErrUnknown) {
		t.Errorf("Deactivate = %v", err)
	}
}

func TestOpenRefusesOtherURLs(t *testing.T) {
	for _, url := range []string{"", "localhost:6379", "http://x", "redis://:hunter2@host:port"} {
		if _, err := rediscache.Open(rediscache.Config{URL: url}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, ttl := range []time.Duration{0, time.Millisecond, 2 * time.Hour} {
		if (rediscache.Config{BalanceTTL: ttl}).Validate() == nil {
			t.Errorf("a TTL of %s is accepted", ttl)
		}
	}
}
