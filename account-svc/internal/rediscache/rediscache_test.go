package rediscache_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/account"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/rediscache"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

func open(t *testing.T, config rediscache.Config) *rediscache.Client {
	t.Helper()
	client, err := rediscache.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func register(t *testing.T, store account.Store) {
	t.Helper()
	err := store.Register(t.Context(), account.Registration{
		Customer: account.Customer{AccountID: "id-11", Number: "11", Name: "Ana"}, CPFHash: "cpf", CreatedAt: time.Now(),
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

func apply(t *testing.T, store ledger.Store, c ledger.Command) {
	t.Helper()
	book := ledger.New(store)
	defer book.Close()
	if result, err := book.ApplyOne(t.Context(), c); err != nil || result.Refusal != nil {
		t.Errorf("%+v, %v", result, err)
	}
}

func want(t *testing.T, store ledger.Store, balance money.Cents) {
	t.Helper()
	if a, err := store.Balance(t.Context(), "id-11"); err != nil || a.Balance != balance || a.ID != "id-11" || a.Number != "11" || !a.Active {
		t.Errorf("%+v, %v, want a balance of %d", a, err, balance)
	}
}

// Redis that refuses connections, or takes them and says nothing: everything works, and next to nobody waits.
func TestRedisAway(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, address := range map[string]net.Addr{"silent": silent.Addr(), "closed": closed.Addr()} {
		t.Run(name, func(t *testing.T) {
			config := rediscache.Config{URL: "redis://" + address.String(), BalanceTTL: time.Second}
			client := open(t, config)
			store := rediscache.NewBalances(sqlstore.New(sqldbtest.SQLite.Open(t, sqlstore.Migrations())), client)
			register(t, store)
			began := time.Now()
			for n := range 50 {
				deposit(t, store, string(rune('a'+n)), 10)
				want(t, store, money.Cents(10*(n+1)))
			}
			if took := time.Since(began); took > 3*time.Second { // 100 calls; one wait of 100 ms a second is allowed
				t.Errorf("50 deposits and readings took %s", took)
			}
			attempts := rediscache.NewAttempts(client, 5, []byte("key"))
			if _, err := attempts.Take(t.Context(), "who"); err == nil {
				t.Error("an attempt that nobody counted is no error")
			}
			if err := store.Deactivate(t.Context(), "id-11", time.Now()); err != nil {
				t.Error(err)
			}
			if a, err := store.Balance(t.Context(), "id-11"); err != nil || a.Active {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

// A caller that goes away is no failure of Redis, and an error of the database stays one.
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
