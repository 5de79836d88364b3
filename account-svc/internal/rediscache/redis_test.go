//go:build backends

package rediscache_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/rediscache"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore/storetest"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

type verifier interface {
	Verify(ctx context.Context, out io.Writer) error
}

// server is the Redis that REDIS_URL names, with keys of this test only.
func server(t *testing.T) rediscache.Config {
	t.Helper()
	url := os.Getenv("REDIS_URL")
	if url == "" {
		t.Fatal(`REDIS_URL is not set: eval "$(.ci/backends env)"`)
	}
	return rediscache.Config{URL: url, KeyPrefix: "test:" + rand.Text() + ":", BalanceTTL: 2 * time.Second}
}

// direct is a plain client of the server.
func direct(t *testing.T, config rediscache.Config) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(config.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// replicas are n caches before one database, in which account 11 has 10.00, all trusted.
func replicas(t *testing.T, config rediscache.Config, n int) []*rediscache.Balances {
	t.Helper()
	db := sqldbtest.SQLite.Open(t, sqlstore.Migrations())
	all := make([]*rediscache.Balances, n)
	for i := range all {
		all[i] = rediscache.NewBalances(sqlstore.New(db), open(t, config))
	}
	register(t, all[0])
	deposit(t, all[0], "first", 1000)
	time.Sleep(config.BalanceTTL + 10*time.Millisecond)
	return all
}

// The cache changes nothing about what a store does.
func TestStoreBehindCache(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store {
		store := sqlstore.New(sqldbtest.SQLite.Open(t, sqlstore.Migrations()))
		config := server(t)
		config.BalanceTTL = time.Second
		balances := rediscache.NewBalances(store, open(t, config))
		time.Sleep(config.BalanceTTL) // until it is trusted
		return struct {
			*rediscache.Balances
			verifier
		}{balances, store}
	})
}

func TestBalanceComesFromTheCache(t *testing.T) {
	config := server(t)
	all := replicas(t, config, 2)
	deposit(t, all[0], "second", 100)
	want(t, all[1], 1100)
	// Only the cache could say this.
	key := config.KeyPrefix + "balance:id-11"
	if err := direct(t, config).Set(t.Context(), key, "9 4200 11", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	want(t, all[1], 4200)
	for _, corrupt := range []string{"", "x", "9", "9 x 11", "-"} {
		if err := direct(t, config).Set(t.Context(), key, corrupt, time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		want(t, all[0], 1100)
	}
	if err := direct(t, config).Set(t.Context(), key, "corrupt", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	deposit(t, all[0], "third", 100) // replaces it
	want(t, all[1], 1200)
	if ttl := direct(t, config).PTTL(t.Context(), key).Val(); ttl <= 0 || ttl > config.BalanceTTL {
		t.Errorf("the entry lives for %s", ttl)
	}
	if err := direct(t, config).Del(t.Context(), key).Err(); err != nil { // as an eviction would
		t.Fatal(err)
	}
	want(t, all[1], 1200)
}

// A reader that took an old balance from the database, and writes it late, does not replace the newer one.
func TestSlowReaderDoesNotBringBackAnOldBalance(t *testing.T) {
	config := server(t)
	store := sqlstore.New(sqldbtest.SQLite.Open(t, sqlstore.Migrations()))
	fast := rediscache.NewBalances(store, open(t, config))
	register(t, fast)
	deposit(t, fast, "first", 1000)
	slow := rediscache.NewBalances(&slowStore{Store: store, meanwhile: func() { deposit(t, fast, "second", 100) }}, open(t, config))
	if a, err := slow.Balance(t.Context(), "id-11"); err != nil || a.Balance != 1000 {
		t.Errorf("%+v, %v", a, err)
	}
	time.Sleep(config.BalanceTTL / 2)
	if text := direct(t, config).Get(t.Context(), config.KeyPrefix+"balance:id-11").Val(); text != "2 1100 11" {
		t.Errorf("the cache says %q", text)
	}
}

// slowStore does something between reading a balance and returning it.
type slowStore struct {
	*sqlstore.Store
	meanwhile func()
}

func (s *slowStore) Balance(ctx context.Context, id string) (ledger.Account, error) {
	a, err := s.Store.Balance(ctx, id)
	s.meanwhile()
	return a, err
}

// A closed account is closed for every replica at once, and stays so, even if a refund arrives.
func TestClosedAccount(t *testing.T) {
	config := server(t)
	all := replicas(t, config, 2)
	want(t, all[1], 1000)
	if err := all[0].Deactivate(t.Context(), "id-11", time.Now()); err != nil {
		t.Fatal(err)
	}
	inactive := func() {
		t.Helper()
		for i, b := range all {
			if a, err := b.Balance(t.Context(), "id-11"); err != nil || a.Active {
				t.Errorf("replica %d: %+v, %v", i, a, err)
			}
		}
	}
	inactive()
	apply(t, all[0], ledger.Command{
		RequestKey: "t:refund", Fingerprint: "f", AccountNumber: "11", Type: ledger.Credit, Kind: ledger.Refund, Amount: 1, TransferID: "t",
	})
	inactive()
}

// Many commits and many readers: nobody reads a balance older than one whose commit had been answered.
func TestNobodyReadsBackwards(t *testing.T) {
	config := server(t)
	all := replicas(t, config, 3)
	var mu sync.Mutex
	answered := int64(1000)
	var everybody sync.WaitGroup
	for n := range 200 {
		everybody.Go(func() {
			deposit(t, all[n%3], fmt.Sprint("deposit ", n), 1)
			mu.Lock()
			answered++ // at least so many
			mu.Unlock()
		})
		everybody.Go(func() {
			mu.Lock()
			least := answered
			mu.Unlock()
			if a, err := all[(n+1)%3].Balance(t.Context(), "id-11"); err != nil || int64(a.Balance) < least {
				t.Errorf("balance %d after %d had been answered, %v", a.Balance, least, err)
			}
		})
	}
	everybody.Wait()
	want(t, all[0], 1200)
}

func TestAttemptsAreShared(t *testing.T) {
	config := server(t)
	one := rediscache.NewAttempts(open(t, config), 5, []byte("key"))
	two := rediscache.NewAttempts(open(t, config), 5, []byte("key"))
	for i := range 8 {
		counter := one
		if i%2 == 1 {
			counter = two
		}
		wait, err := counter.Take(t.Context(), "cpf 52998224725")
		if err != nil || (wait > 0) != (i >= 5) || wait > time.Minute {
			t.Errorf("attempt %d: wait %s, %v", i, wait, err)
		}
	}
	if wait, err := one.Take(t.Context(), "cpf 11144477735"); err != nil || wait != 0 {
		t.Errorf("somebody else: %s, %v", wait, err)
	}
	keys, err := direct(t, config).Keys(t.Context(), "*"+config.KeyPrefix+"*").Result()
	if err != nil || len(keys) != 2 {
		t.Fatalf("%q, %v", keys, err)
	}
	for _, key := range keys {
		if ttl := direct(t, config).TTL(t.Context(), key).Val(); ttl <= 0 || ttl > time.Minute {
			t.Errorf("%s lives for %s", key, ttl)
		}
	}
}
