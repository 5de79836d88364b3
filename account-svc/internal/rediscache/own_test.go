//go:build backends

package rediscache_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bankmore/bankmore/account-svc/internal/rediscache"
	"github.com/bankmore/bankmore/platform/money"
)

// ownServer is a Redis that only this test uses: the test may pause, flush and fill it.
type ownServer struct {
	*redis.Client
	config  rediscache.Config
	process *os.Process
}

func init() {
	redisServers["redis"] = func(t *testing.T) string { return startServer(t).config.URL }
}

func startServer(t *testing.T, arguments ...string) ownServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "socket")
	command := exec.Command("redis-server", append([]string{"--port", "0", "--unixsocket", socket, "--dir", dir, "--save", ""}, arguments...)...)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	s := ownServer{
		Client:  redis.NewClient(&redis.Options{Network: "unix", Addr: socket}),
		config:  rediscache.Config{URL: "unix://" + socket, KeyPrefix: "test:", BalanceTTL: 2 * time.Second},
		process: command.Process,
	}
	t.Cleanup(func() { _ = s.Close() })
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := s.Ping(t.Context()).Err()
		if err == nil {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func (s ownServer) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := s.process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// usual returns one replica with the usual timeout, for tests in which Redis fails. The replica reads entries at once.
func usual(t *testing.T, config rediscache.Config) *rediscache.Balances {
	t.Helper()
	client := open(t, config)
	client.Trust()
	return rediscache.NewBalances(replicas(t, config, 1)[0].Store, client)
}

// When a paused server goes on, it executes the commands that have waited in its sockets. No reader gets an old balance from
// that, whether or not the entries have expired meanwhile, although Redis was never told of the newest commit.
func TestPauseBringsNoOldBalanceBack(t *testing.T) {
	for _, pause := range []time.Duration{0, 2500 * time.Millisecond} {
		t.Run(pause.String(), func(t *testing.T) {
			t.Parallel()
			server := startServer(t)
			store := usual(t, server.config)
			want(t, store, 1000)
			server.signal(t, syscall.SIGSTOP)
			deposit(t, store, "second", 100) // sent, and not answered
			deposit(t, store, "third", 100)  // not sent: the client does not call Redis after a failure
			want(t, store, 1200)
			time.Sleep(pause)
			server.signal(t, syscall.SIGCONT)
			for range 25 { // until after the client has called Redis again, and read entries again
				want(t, store, 1200)
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
}

// The same for an account that was closed during the pause: it stays closed.
func TestPauseReopensNoAccount(t *testing.T) {
	server := startServer(t)
	store := usual(t, server.config)
	want(t, store, 1000)
	server.signal(t, syscall.SIGSTOP)
	closed(t, store, 1000)
	time.Sleep(server.config.BalanceTTL + 500*time.Millisecond)
	server.signal(t, syscall.SIGCONT)
	for range 20 {
		wantClosed(t, store)
		time.Sleep(100 * time.Millisecond)
	}
}

// A slow reader reads an old balance, then a commit updates the cache, and then the reader tries to fill it. Whatever Redis
// loses in between, the old balance does not become an entry.
func TestLossBetweenCommitAndSlowReader(t *testing.T) {
	server := startServer(t)
	fast := replicas(t, server.config, 1)[0]
	hooked := &hookedStore{Store: fast.Store}
	slow := before(t, server.config, hooked, 1)[0]
	balance := money.Cents(1000)
	for name, lose := range map[string]func(commit func()){
		"commit, then eviction": func(commit func()) { commit(); server.Del(t.Context(), "test:balance:id-11") },
		"eviction, then commit": func(commit func()) { server.Del(t.Context(), "test:balance:id-11"); commit() },
		"commit, then flush":    func(commit func()) { commit(); server.FlushAll(t.Context()) },
		"flush, then commit":    func(commit func()) { server.FlushAll(t.Context()); commit() },
		"commit, no loss":       func(commit func()) { commit() },
		"commit, other reader":  func(commit func()) { commit(); want(t, fast, balance+100) },
		"commit, other lease": func(commit func()) {
			commit()
			server.HSet(t.Context(), "test:balance:id-11", "lease", "of another reader")
		},
	} {
		server.FlushAll(t.Context())
		hooked.asked = func() { lose(func() { deposit(t, fast, name, 100) }) }
		want(t, slow, balance)
		hooked.asked = nil
		balance += 100
		for range 3 {
			want(t, fast, balance)
			want(t, slow, balance)
		}
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// A reader that takes longer than its lease makes no entry: a commit that came meanwhile may not have reached Redis.
func TestSlowReaderLosesItsLease(t *testing.T) {
	server := startServer(t)
	hooked := &hookedStore{Store: replicas(t, server.config, 1)[0].Store}
	slow := before(t, server.config, hooked, 1)[0]
	hooked.asked = func() { time.Sleep(600 * time.Millisecond) }
	want(t, slow, 1000)
	if n := server.Exists(t.Context(), "test:balance:id-11").Val(); n != 0 {
		t.Error("there is an entry")
	}
}

// Many replicas commit and read while Redis is full, or loses entries and leases all the time. No reader gets a balance
// older than the last commit that was answered before the read.
func TestNoReaderSeesAnOlderBalance(t *testing.T) {
	for name, disturb := range map[string]func(ctx context.Context, s ownServer, n int){
		"calm":     func(context.Context, ownServer, int) {},
		"evicting": func(ctx context.Context, s ownServer, _ int) { s.Del(ctx, "test:balance:id-11") },
		"flushing": func(ctx context.Context, s ownServer, _ int) { s.FlushAll(ctx) },
		"full": func(ctx context.Context, s ownServer, n int) {
			s.ConfigSet(ctx, "maxmemory", "8mb")
			s.Set(ctx, fmt.Sprint("answer ", n), strings.Repeat("x", 200_000), 24*time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t, "--maxmemory-policy", "volatile-ttl")
			all := replicas(t, server.config, 3)
			hits := metric(t, "bankmore_balance_cache_requests_total", "hit")
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var writers, others sync.WaitGroup
			others.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					disturb(ctx, server, n)
					time.Sleep(time.Millisecond)
				}
			})
			var answered atomic.Int64 // the least balance that a read may return now
			answered.Store(1000)
			for i := range 3 {
				writers.Go(func() {
					for n := range 50 {
						deposit(t, all[i], fmt.Sprint("deposit ", i, n), 1)
						answered.Add(1)
					}
				})
				others.Go(func() {
					for n := 0; ctx.Err() == nil; n++ {
						least := answered.Load()
						if a, err := all[(i+n)%3].Balance(ctx, "id-11"); err == nil && int64(a.Balance) < least {
							t.Errorf("balance %d after %d had been answered", int64(a.Balance), least)
						}
					}
				})
			}
			writers.Wait()
			stop()
			others.Wait()
			want(t, all[0], 1150)
			if hits == metric(t, "bankmore_balance_cache_requests_total", "hit") {
				t.Error("the cache answered nobody")
			}
			if evicted := server.InfoMap(t.Context(), "stats").Item("Stats", "evicted_keys"); (evicted != "0") != (name == "full") {
				t.Errorf("%s keys were evicted", evicted)
			}
		})
	}
}

// When Redis stops answering, and when it answers again, a metric and one line of the log say so, however often a call fails
// in between.
func TestOutageIsLoggedOnce(t *testing.T) {
	server := startServer(t)
	store := usual(t, server.config)
	log := captureLog(t)
	lines := func(line string) int { return strings.Count(log(), line) }
	failed := func() float64 { return metric(t, "bankmore_redis_failures_total", "") }
	isUp := func() bool { return metric(t, "bankmore_redis_up", "") == 1 }
	readUntil := func(what string, reached func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !reached(); time.Sleep(50 * time.Millisecond) {
			want(t, store, 1000)
			if time.Now().After(deadline) {
				t.Fatalf("not seen: %s", what)
			}
		}
	}
	server.signal(t, syscall.SIGSTOP)
	readUntil("Redis is down", func() bool { return !isUp() })
	first := failed()
	readUntil("two more failures", func() bool { return failed() >= first+2 })
	server.signal(t, syscall.SIGCONT)
	readUntil("Redis is up", isUp)
	if down, again := lines("redis does not answer; going on without it"), lines("redis answers again"); down != 1 || again != 1 {
		t.Errorf("%d lines say that Redis does not answer, %d that it answers again", down, again)
	}
}
