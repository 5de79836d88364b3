package rediscache_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/rediscache"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// These tests show what each condition of the scripts is for. None depends on luck: hooks decide what happens first. Each
// patch cache-*.patch in e2e/mutations breaks one condition, and then one of these tests fails.

// redisServers start an empty Redis: miniredis, which runs in this process, and with the build tag backends a real one as
// well.
var redisServers = map[string]func(t *testing.T) (url string){
	"miniredis": func(t *testing.T) string { return "redis://" + miniredis.RunT(t).Addr() },
}

// scene is one database and some replicas of account-svc, which share the database and a Redis.
type scene struct {
	*testing.T
	redis    *redis.Client
	store    sqlstore.Store
	config   rediscache.Config
	replicas []*replica
}

// replica is one process of account-svc. Its hooks are called when its database has answered, and before Redis hears of it.
type replica struct {
	*rediscache.Balances
	asked, committed func()
}

// hooks is a replica's database.
type hooks struct {
	rediscache.Store
	replica *replica
}

func (h hooks) Balance(ctx context.Context, id string) (ledger.Account, error) {
	a, err := h.Store.Balance(ctx, id)
	if hook := h.replica.asked; hook != nil {
		h.replica.asked = nil
		hook()
	}
	return a, err
}

func (h hooks) Apply(ctx context.Context, commands []ledger.Command, decide func(ledger.State) ledger.Effects) error {
	err := h.Store.Apply(ctx, commands, decide)
	if hook := h.replica.committed; hook != nil {
		h.replica.committed = nil
		hook()
	}
	return err
}

// onEachRedis runs test on each kind of Redis, with three replicas. Account 11 has 10.00.
func onEachRedis(t *testing.T, test func(s scene)) {
	t.Helper()
	for name, start := range redisServers {
		t.Run(name, func(t *testing.T) {
			url := start(t)
			s := scene{T: t, store: sqlstore.New(sqldbtest.SQLite.Open(t, sqlstore.Migrations()))}
			s.config = rediscache.Config{URL: url, KeyPrefix: "test:", BalanceTTL: time.Minute}
			options, err := redis.ParseURL(url)
			if err != nil {
				t.Fatal(err)
			}
			s.redis = redis.NewClient(options)
			t.Cleanup(func() { _ = s.redis.Close() })
			for range 3 {
				client, err := rediscache.OpenPatient(s.config)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = client.Close() })
				client.Trust()
				r := &replica{}
				r.Balances = rediscache.NewBalances(hooks{s.store, r}, client)
				s.replicas = append(s.replicas, r)
			}
			register(t, s.store)
			deposit(t, s.store, "first", 1000)
			test(s)
		})
	}
}

const key11 = "test:balance:id-11"

// fields returns what Redis holds of account 11.
func (s scene) fields() map[string]string { return s.redis.HGetAll(s.Context(), key11).Val() }

// fromCache makes the test fail if r asks the database for a balance from now on.
func (s scene) fromCache(r *replica) {
	r.asked = func() { s.Error("the database was asked, though there is an entry") }
}

// A replica commits first and tells Redis last: its version is older than the one in Redis. The newer version stays.
func TestLateNewsBringNoOldBalanceBack(t *testing.T) {
	for _, movements := range []int{1, 7, 8, 9, 98} { // versions of one, two and three digits, which are compared as numbers
		t.Run(fmt.Sprint(movements), func(t *testing.T) {
			onEachRedis(t, func(s scene) {
				late, fast, reader := s.replicas[0], s.replicas[1], s.replicas[2]
				for n := range movements - 1 {
					deposit(s.T, s.store, fmt.Sprint("before ", n), 1)
				}
				balance := 1000 + money.Cents(movements-1)
				want(s.T, reader, balance) // makes an entry
				late.committed = func() { deposit(s.T, fast, "second", 200) }
				deposit(s.T, late, "third", 50) // commits first, and tells Redis last
				for _, r := range s.replicas {
					s.fromCache(r)
					want(s.T, r, balance+250)
				}
				deposit(s.T, late, "fourth", 5)
				want(s.T, reader, balance+255)
			})
		})
	}
}

// When Redis is told of a commit, it deletes the lease of a reader that may have read the database before. It makes no
// entry.
func TestCommitTakesTheLeaseAway(t *testing.T) {
	onEachRedis(t, func(s scene) {
		slow, fast := s.replicas[0], s.replicas[1]
		slow.asked = func() {
			deposit(s.T, fast, "second", 100)
			if got := s.fields(); len(got) != 0 {
				s.Errorf("after the commit: %v", got)
			}
		}
		want(s.T, slow, 1000) // the balance at the time of its read
		if got := s.fields(); len(got) != 0 {
			s.Errorf("the slow reader has made an entry: %v", got)
		}
		want(s.T, slow, 1100)
		want(s.T, fast, 1100)
	})
}

// A slow reader, which has read the database before a commit, cannot use the lease of another reader.
func TestLeaseIsOfOneReader(t *testing.T) {
	onEachRedis(t, func(s scene) {
		slow, fast := s.replicas[0], s.replicas[1]
		looked, goOn, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
		slow.asked = func() { close(looked); <-goOn }
		go func() {
			defer close(done)
			want(s.T, slow, 1000)
		}()
		<-looked
		deposit(s.T, s.replicas[2], "second", 100)
		fast.asked = func() { // it has a lease now
			close(goOn)
			<-done
			if got := s.fields(); got["lease"] == "" || len(got) != 1 {
				s.Errorf("the slow reader has used the lease of another: %v", got)
			}
		}
		want(s.T, fast, 1100)
		s.fromCache(s.replicas[2])
		want(s.T, s.replicas[2], 1100)
	})
}

// While one reader has the lease, another reader gets none, and does not change when the lease ends.
func TestOneReaderHasTheLease(t *testing.T) {
	onEachRedis(t, func(s scene) {
		first, second := s.replicas[0], s.replicas[1]
		first.asked = func() {
			s.redis.PExpire(s.Context(), key11, time.Minute) // no reader sets a minute, so a change would show
			before := s.fields()
			want(s.T, second, 1000)
			if got := s.fields(); !maps.Equal(got, before) || got["lease"] == "" {
				s.Errorf("the lease was %v and is %v", before, got)
			}
			if left := s.redis.PTTL(s.Context(), key11).Val(); left <= time.Second || left > time.Minute {
				s.Errorf("the lease lives for another %s", left)
			}
		}
		want(s.T, first, 1000)
		s.fromCache(second)
		want(s.T, second, 1000)
	})
}

// A lease lives for half a second. If its reader dies, another reader can make an entry after that.
func TestLeaseEnds(t *testing.T) {
	onEachRedis(t, func(s scene) {
		began := time.Now()
		s.replicas[0].asked = func() {
			left, err := s.redis.PTTL(s.Context(), key11).Result()
			const ended = -2 // on a slow machine the lease may have ended by now
			if alive := 0 < left && left <= 500*time.Millisecond; err != nil || !alive && (left != ended || time.Since(began) < 500*time.Millisecond) {
				s.Errorf("the lease lives for %s, %v", left, err)
			}
		}
		want(s.T, s.replicas[0], 1000)
	})
}

// An entry holds the four fields of a balance and nothing else. It lives for the TTL less the life of a lease, from the
// moment it is made.
func TestEntryEndsAfterTheTTL(t *testing.T) {
	onEachRedis(t, func(s scene) {
		most := s.config.BalanceTTL - 500*time.Millisecond
		left := func(when string) time.Duration {
			left := s.redis.PTTL(s.Context(), key11).Val()
			if left <= most-20*time.Second || left > most {
				s.Errorf("%s, the entry lives for %s, want %s", when, left, most)
			}
			return left
		}
		want(s.T, s.replicas[0], 1000)
		left("at first")
		if got := slices.Sorted(maps.Keys(s.fields())); !slices.Equal(got, []string{"balance", "number", "owner", "version"}) {
			s.Errorf("an entry has %v", got)
		}
		most -= 5 * time.Second
		s.redis.PExpire(s.Context(), key11, most)
		deposit(s.T, s.replicas[0], "second", 100)
		left("after a commit")
		s.fromCache(s.replicas[1])
		want(s.T, s.replicas[1], 1100)
	})
}

// If Redis executes a reader's script a second time, after a pause, the lease is gone and the script does nothing.
func TestLeaseIsUsedOnce(t *testing.T) {
	onEachRedis(t, func(s scene) {
		var lease string
		s.replicas[0].asked = func() { lease = s.fields()["lease"] }
		want(s.T, s.replicas[0], 1000)
		deposit(s.T, s.replicas[1], "second", 100)
		if err := rediscache.Fill.Run(s.Context(), s.redis, []string{key11}, lease, 1, 1000, "11", "Ana", 1000).Err(); err != nil {
			s.Fatal(err)
		}
		for _, r := range s.replicas {
			s.fromCache(r)
			want(s.T, r, 1100)
		}
	})
}

// A replica that closes an account deletes its entry.
func TestClosingTakesTheEntryAway(t *testing.T) {
	onEachRedis(t, func(s scene) {
		want(s.T, s.replicas[1], 1000)
		apply(s.T, s.store, ledger.Command{
			RequestKey: "all", Fingerprint: "all", AccountNumber: "11", Type: ledger.Debit, Kind: ledger.Withdrawal, Amount: 1000,
		})
		if err := s.replicas[0].Deactivate(s.Context(), "id-11", time.Now()); err != nil {
			s.Fatal(err)
		}
		for i, r := range s.replicas {
			if a, err := r.Balance(s.Context(), "id-11"); err != nil || a.Active {
				s.Errorf("replica %d: %+v, %v", i, a, err)
			}
		}
	})
}

// A replica tells Redis of both accounts of a transfer whose legs travel in one command.
func TestCommitTellsOfBothAccountsOfAPair(t *testing.T) {
	onEachRedis(t, func(s scene) {
		err := s.store.Register(s.Context(), customer.Registration{
			Customer: customer.Customer{AccountID: "id-22", Number: "22", Name: "Bia"}, CPFHash: "22", CreatedAt: time.Now(),
		})
		if err != nil {
			s.Fatal(err)
		}
		reader := s.replicas[1]
		balances := func(when string, of11, of22 money.Cents) {
			for id, want := range map[string]money.Cents{"id-11": of11, "id-22": of22} {
				if a, err := reader.Balance(s.Context(), id); err != nil || a.Balance != want {
					s.Errorf("%s, %s has %s, %v, want %s", when, id, a.Balance, err, want)
				}
			}
		}
		balances("before", 1000, 0) // makes the entries
		pay := func(key, from, to string, how ledger.Type, then *ledger.Command) ledger.Command {
			return ledger.Command{
				RequestKey: key, Fingerprint: key, AccountNumber: from, Type: how, Kind: ledger.Transfer, Amount: 300,
				Counterparty: to, TransferID: "t", Then: then,
			}
		}
		credit := pay("t:credit", "22", "11", ledger.Credit, nil)
		apply(s.T, s.replicas[0], pay("t:debit", "11", "22", ledger.Debit, &credit))
		reader.asked = func() { s.Error("the database was asked, though both accounts have an entry") }
		balances("after the pair", 700, 300)
	})
}

// A replica tells Redis of every account that a commit has changed.
func TestCommitTellsOfAllItsAccounts(t *testing.T) {
	onEachRedis(t, func(s scene) {
		numbers := []string{"11", "22", "33", "44"}
		for _, number := range numbers[1:] {
			err := s.store.Register(s.Context(), customer.Registration{
				Customer: customer.Customer{AccountID: "id-" + number, Number: number, Name: "Bia"}, CPFHash: number, CreatedAt: time.Now(),
			})
			if err != nil {
				s.Fatal(err)
			}
		}
		for _, number := range numbers[:3] { // the last has no entry
			if _, err := s.replicas[1].Balance(s.Context(), "id-"+number); err != nil {
				s.Fatal(err)
			}
		}
		var commands []ledger.Command
		for _, number := range numbers {
			commands = append(commands, ledger.Command{
				RequestKey: "to " + number, Fingerprint: number, AccountNumber: number, Type: ledger.Credit, Kind: ledger.Deposit, Amount: 500,
			})
		}
		if _, err := ledger.New(s.replicas[0]).Apply(s.Context(), commands); err != nil {
			s.Fatal(err)
		}
		s.fromCache(s.replicas[1])
		for i, number := range numbers[:3] {
			a, err := s.replicas[1].Balance(s.Context(), "id-"+number)
			if want := money.Cents(500 + 1000*map[bool]int{true: 1}[i == 0]); err != nil || a.Balance != want {
				s.Errorf("account %s has %s, %v, want %s", number, a.Balance, err, want)
			}
		}
		if n := s.redis.Exists(s.Context(), "test:balance:id-44").Val(); n != 0 {
			s.Error("a commit has made an entry")
		}
	})
}
