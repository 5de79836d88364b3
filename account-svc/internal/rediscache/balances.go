package rediscache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/redis/go-redis/v9"

	"github.com/bankmore/bankmore/account-svc/internal/account"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/money"
)

var requests = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "balance_cache_requests_total", Help: "Balances asked of the cache, by result: hit, miss, away.",
}, []string{"result"})

// Store is what the cache stands before.
type Store interface {
	account.Store
	ledger.Store
}

// Balances is a store whose balances are read from Redis first. Whatever decides about money reads the database.
type Balances struct {
	Store
	client *Client
}

// NewBalances puts a cache before a store.
func NewBalances(store Store, client *Client) *Balances {
	return &Balances{Store: store, client: client}
}

// An entry is "<version> <balance in cents> <number>" of an active account. A closed account has the highest version there is,
// which no movement replaces: refunds still reach it, but nobody may see it.
const closed = math.MaxInt64

// setIfNewer writes an entry unless there is one that is as new. Lua's numbers are exact up to 2^53, which no account's
// version reaches.
const setIfNewer = `
	local present = redis.call('GET', KEYS[1])
	if present and (tonumber(string.match(present, '^%d+')) or -1) >= tonumber(ARGV[1]) then
		return 0
	end
	redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
	return 1`

// slowest is how old a balance from the database may be when it is written to the cache. An older one could follow on a
// newer entry that has expired meanwhile.
const slowest = 500 * time.Millisecond

// Apply implements ledger.Store. The cache learns of the new balances before the callers do, so that each reads what it
// has written.
func (b *Balances) Apply(ctx context.Context, commands []ledger.Command, decide func(ledger.State) ledger.Effects) error {
	var effects ledger.Effects
	err := b.Store.Apply(ctx, commands, func(state ledger.State) ledger.Effects {
		effects = decide(state)
		return effects
	})
	switch {
	case err != nil && len(effects.Accounts) > 0:
		b.client.missed() // it may have been committed all the same
	case err == nil && len(effects.Accounts) > 0:
		entries := make([]entry, len(effects.Accounts))
		for i, change := range effects.Accounts {
			entries[i] = entry{change.ID, change.Version, change.Balance, change.Number}
			if !change.Active {
				entries[i].version = closed
			}
		}
		b.write(ctx, entries...)
	}
	return err
}

// Deactivate implements account.Store.
func (b *Balances) Deactivate(ctx context.Context, accountID string, at time.Time) error {
	err := b.Store.Deactivate(ctx, accountID, at)
	if err != nil {
		b.client.missed()
		return err
	}
	b.write(ctx, entry{accountID: accountID, version: closed})
	return nil
}

// Balance implements ledger.Store.
func (b *Balances) Balance(ctx context.Context, accountID string) (ledger.Account, error) {
	cached, ok := b.read(ctx, accountID)
	if ok {
		return cached, nil
	}
	asked := time.Now()
	stored, err := b.Store.Balance(ctx, accountID)
	if err == nil && stored.Active && time.Since(asked) < slowest {
		_ = b.put(ctx, entry{stored.ID, stored.Version, stored.Balance, stored.Number}) // the client counts failures
	}
	return stored, err
}

type entry struct {
	accountID string
	version   int64
	balance   money.Cents
	number    string
}

func (b *Balances) key(accountID string) string { return b.client.prefix + "balance:" + accountID }

// write puts entries of commits.
func (b *Balances) write(ctx context.Context, entries ...entry) {
	// The commit has happened, even if nobody waits for it any more.
	if err := b.put(context.WithoutCancel(ctx), entries...); err != nil {
		b.client.missed()
	}
}

func (b *Balances) put(ctx context.Context, entries ...entry) error {
	return b.client.try(ctx, func(ctx context.Context) error {
		_, err := b.client.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, e := range entries {
				p.Eval(ctx, setIfNewer, []string{b.key(e.accountID)}, e.version, fmt.Sprintf("%d %s", int64(e.balance), e.number), b.client.ttl.Milliseconds())
			}
			return nil
		})
		return err
	})
}

func (b *Balances) read(ctx context.Context, accountID string) (a ledger.Account, ok bool) {
	result := "away"
	defer func() { requests.WithLabelValues(result).Inc() }()
	if !b.client.trusted() {
		return a, false
	}
	var text string
	err := b.client.try(ctx, func(ctx context.Context) (err error) {
		text, err = b.client.redis.Get(ctx, b.key(accountID)).Result()
		if errors.Is(err, redis.Nil) {
			err = nil
		}
		return err
	})
	if err != nil {
		return a, false
	}
	result = "miss"
	a = ledger.Account{ID: accountID, Active: true}
	if n, err := fmt.Sscanf(text, "%d %d %s", &a.Version, &a.Balance, &a.Number); err != nil || n != 3 || a.Version == closed {
		return ledger.Account{}, false // the database says what a closed account is
	}
	result = "hit"
	return a, true
}
