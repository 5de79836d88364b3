//go:build backends

package rediscache_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/rediscache"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore/storetest"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

type verifier interface {
	Verify(ctx context.Context, out io.Writer, maxUnfinished time.Duration) error
}

// server is the Redis that REDIS_URL names, with keys of this test only. Entries live longer than a test takes.
func server(t *testing.T) rediscache.Config {
	t.Helper()
	url := os.Getenv("REDIS_URL")
	if url == "" {
		t.Fatal(`REDIS_URL is not set: eval "$(.ci/backends env)"`)
	}
	return rediscache.Config{URL: url, KeyPrefix: "test:" + rand.Text() + ":", BalanceTTL: time.Minute}
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

// patient returns a client whose timeout is long, so that Redis fails only when a test makes it fail.
func patient(t *testing.T, config rediscache.Config) *rediscache.Client {
	t.Helper()
	return opened(t, config, rediscache.OpenPatient)
}

// before returns n replicas: each is a cache in front of store, and reads entries at once. Their clients are patient.
func before(t *testing.T, config rediscache.Config, store rediscache.Store, n int) []*rediscache.Balances {
	t.Helper()
	all := make([]*rediscache.Balances, n)
	for i := range all {
		client := patient(t, config)
		client.Trust()
		all[i] = rediscache.NewBalances(store, client)
	}
	return all
}

// replicas returns n caches in front of one database, in which account 11 has 10.00. They read entries at once.
func replicas(t *testing.T, config rediscache.Config, n int) []*rediscache.Balances {
	t.Helper()
	store := sqlstore.New(sqldbtest.SQLite.Open(t, sqlstore.Migrations()))
	register(t, store)
	deposit(t, store, "first", 1000)
	return before(t, config, store, n)
}

// A store behind a cache passes the conformance suite of stores.
func TestStoreBehindCache(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store {
		store := sqlstore.New(sqldbtest.SQLite.Open(t, sqlstore.Migrations()))
		return struct {
			*rediscache.Balances
			verifier
		}{before(t, server(t), store, 1)[0], store}
	})
}

// Readers who share a round trip each get the entry of their own account.
func TestReadersGetTheirOwnEntries(t *testing.T) {
	store := &hookedStore{Store: sqlstore.New(sqldbtest.SQLite.Open(t, sqlstore.Migrations()))}
	cache := before(t, server(t), store, 1)[0]
	read := func(i int) {
		number := fmt.Sprint(100 + i)
		a, err := cache.Balance(t.Context(), "id-"+number)
		if err != nil || a.Number != number || a.Owner != "Ana "+number {
			t.Errorf("account %s: %+v, %v", number, a, err)
		}
	}
	const accounts = 50
	for i := range accounts {
		number := fmt.Sprint(100 + i)
		err := store.Register(t.Context(), customer.Registration{
			Customer: customer.Customer{AccountID: "id-" + number, Number: number, Name: "Ana " + number}, CPFHash: number, CreatedAt: time.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
		read(i) // makes an entry
	}
	store.asked = func() { t.Error("the database was asked") }
	for range 5 {
		var readers sync.WaitGroup
		for i := range accounts {
			readers.Go(func() { read(i) })
		}
		readers.Wait()
	}
}

// A hit, in any replica, asks no database and returns the balance after the newest commit.
func TestBalanceComesFromTheCache(t *testing.T) {
	config := server(t)
	store := &hookedStore{Store: sqlstore.New(sqldbtest.SQLite.Open(t, sqlstore.Migrations()))}
	all := before(t, config, store, 2)
	register(t, all[0])
	deposit(t, all[0], "first", 1000)
	want(t, all[0], 1000) // makes an entry
	store.asked = func() { t.Error("the database was asked") }
	want(t, all[1], 1000)
	deposit(t, all[0], "second", 100)
	want(t, all[1], 1100)

	store.asked = nil
	r, key := direct(t, config), config.KeyPrefix+"balance:id-11"
	for name, spoil := range map[string]func(){
		"evicted":    func() { r.Del(t.Context(), key) },
		"no number":  func() { r.HSet(t.Context(), key, "balance", "x") },
		"no version": func() { r.HSet(t.Context(), key, "version", "x") },
		"half":       func() { r.HDel(t.Context(), key, "owner") },
		"too long":   func() { r.HSet(t.Context(), key, "balance", "92233720368547758070") },
	} {
		want(t, all[0], 1100)
		spoil()
		for range 2 {
			want(t, all[1], 1100)
		}
		r.Del(t.Context(), key)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	r.HSet(t.Context(), key, "version", "x")
	deposit(t, all[0], "third", 100) // deletes the entry
	want(t, all[1], 1200)
}

// Movements do not prolong an entry. It has expired before a replica that could not tell Redis of a commit reads entries
// again.
func TestEntryLivesNoLonger(t *testing.T) {
	config := server(t)
	config.BalanceTTL = 2 * time.Second
	store := replicas(t, config, 1)[0]
	want(t, store, 1000)
	filled := time.Now()
	r, key := direct(t, config), config.KeyPrefix+"balance:id-11"
	for n := 1; r.HExists(t.Context(), key, "version").Val(); n++ {
		most := config.BalanceTTL - time.Since(filled) // before Redis is asked, whose answer may come late
		if left := r.PTTL(t.Context(), key).Val(); left > most {
			t.Fatalf("the entry lives for another %s, longer than %s", left, most)
		}
		deposit(t, store, fmt.Sprint("deposit ", n), 1)
		time.Sleep(20 * time.Millisecond)
	}
	if lived := time.Since(filled); lived < 400*time.Millisecond {
		t.Errorf("the entry lived for %s", lived)
	}
}

// hookedStore calls asked, if it is not nil, after each read of a balance.
type hookedStore struct {
	rediscache.Store
	asked func()
}

func (s *hookedStore) Balance(ctx context.Context, id string) (ledger.Account, error) {
	a, err := s.Store.Balance(ctx, id)
	if s.asked != nil {
		s.asked()
	}
	return a, err
}

// A closed account is closed for every replica at once, and stays so, even if a refund arrives.
func TestClosedAccount(t *testing.T) {
	config := server(t)
	all := replicas(t, config, 2)
	want(t, all[1], 1000)
	if err := all[0].Deactivate(t.Context(), "id-11", time.Now()); !errors.Is(err, customer.ErrBalanceNotZero) {
		t.Fatal(err)
	}
	wantHit(t, all[0], 1000) // a refused closing has changed nothing, and replicas still read the cache
	closed(t, all[0], 1000)
	refund := func(key string) {
		apply(t, all[0], ledger.Command{
			RequestKey: "refund:" + key, Fingerprint: key, AccountNumber: "11", Type: ledger.Credit, Kind: ledger.Refund, Amount: 1, TransferID: key,
		})
	}
	wantClosed(t, all...)
	refund("first")
	wantClosed(t, all...)
	// An entry that outlived the closing, as if Redis had not been told of it, ends with the next movement.
	direct(t, config).HSet(t.Context(), config.KeyPrefix+"balance:id-11", "version", 1, "balance", 1000, "number", "11", "owner", "Ana")
	refund("second")
	wantClosed(t, all...)

	// The operator's command reopens the account and does not tell Redis. Every replica reads the account at once, with the
	// refunds.
	if _, err := all[0].Reopen(t.Context(), customer.Reopening{Number: "11", Reason: "refunds came", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	want(t, all[0], 2)
	want(t, all[1], 2)
	time.Sleep(600 * time.Millisecond) // until the lease of the last reader of the closed account has ended
	want(t, all[0], 2)
	wantHit(t, all[1], 2)
}

// wantHit checks a balance, and that it comes from the cache.
func wantHit(t *testing.T, store *rediscache.Balances, balance money.Cents) {
	t.Helper()
	before := metric(t, "bankmore_balance_cache_requests_total", "hit")
	want(t, store, balance)
	if metric(t, "bankmore_balance_cache_requests_total", "hit") == before {
		t.Error("no hit")
	}
}

func wantClosed(t *testing.T, replicas ...*rediscache.Balances) {
	t.Helper()
	for i, b := range replicas {
		if a, err := b.Balance(t.Context(), "id-11"); err != nil || a.Active {
			t.Errorf("replica %d: %+v, %v", i, a, err)
		}
	}
}

// The answer to a command is lost. The customer repeats the command at another replica, which answers that it is done. Then
// the customer reads the balance after the command.
func TestRepeatedCommandBringsEntriesUpToDate(t *testing.T) {
	config := server(t)
	all := replicas(t, config, 2)
	want(t, all[1], 1000)
	deposit(t, all[0].Store, "second", 100) // the cache is not told
	want(t, all[1], 1000)
	deposit(t, all[1], "second", 100)
	want(t, all[1], 1100)
}

// A replica that cannot reach Redis reads what it has written; the others read it after the TTL.
func TestReplicaWithoutRedis(t *testing.T) {
	config := server(t)
	config.BalanceTTL = 2 * time.Second
	with := replicas(t, config, 1)[0]
	cutOff := config
	cutOff.URL = "redis://127.0.0.1:1"
	without := rediscache.NewBalances(with.Store, open(t, cutOff))
	want(t, with, 1000)
	for n := range 5 {
		deposit(t, without, fmt.Sprint("deposit ", n), 100)
		want(t, without, 1100+money.Cents(n)*100)
	}
	time.Sleep(config.BalanceTTL)
	want(t, with, 1500)
}

// A replica is killed after a commit and before it tells the cache. The replica that takes its place reads the commit at
// once, the others after the TTL.
func TestReplicaKilledAfterCommit(t *testing.T) {
	config := server(t)
	config.BalanceTTL = 2 * time.Second
	all := replicas(t, config, 2)
	want(t, all[1], 1000)
	deposit(t, all[0].Store, "second", 100) // the killed replica's commit, of which it told nobody
	successor := rediscache.NewBalances(all[0].Store, open(t, config))
	want(t, successor, 1100)
	time.Sleep(config.BalanceTTL)
	want(t, all[1], 1100)
	want(t, successor, 1100)
}

func TestCountsAreShared(t *testing.T) {
	config := server(t)
	one := rediscache.NewCounter(patient(t, config), []byte("key"))
	two := rediscache.NewCounter(patient(t, config), []byte("key"))
	const ana, bia = "customers cpf 52998224725", "customers cpf 11144477735"
	for i := range 8 {
		counter, other := one, two
		if i%2 == 1 {
			counter, other = two, one
		}
		wait, err := counter.Take(t.Context(), ana, 5, time.Minute)
		if err != nil || (wait > 0) != (i >= 5) || wait > 12*time.Second {
			t.Errorf("attempt %d: wait %s, %v", i, wait, err)
		}
		for range 3 { // Peek counts nothing
			seen, err := other.Peek(t.Context(), ana, 5, time.Minute)
			if err != nil || (seen > 0) != (i >= 4) || seen > 12*time.Second || i >= 5 && seen > wait {
				t.Errorf("after attempt %d: wait %s, %v, and the attempt %s", i, seen, err, wait)
			}
		}
	}
	if wait, err := one.Peek(t.Context(), bia, 5, time.Minute); err != nil || wait != 0 {
		t.Errorf("somebody else: %s, %v", wait, err)
	}
	if wait, err := one.Take(t.Context(), bia, 5, time.Minute); err != nil || wait != 0 {
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
