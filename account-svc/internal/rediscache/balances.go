package rediscache

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/redis/go-redis/v9"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
)

var requests = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "bankmore_balance_cache_requests_total", Help: "Balances asked of the cache, by result: hit, miss, away.",
}, []string{"result"})

// Store is the store behind the cache.
type Store interface {
	customer.Store
	ledger.Store
}

// Balances is a store that looks for balances in Redis first. Decisions about money read the database.
type Balances struct {
	Store
	client  *Client
	entries *batch.Batcher[string, []any] // by key: the fields of an entry
}

// NewBalances puts a cache in front of a store.
func NewBalances(store Store, client *Client) *Balances {
	return &Balances{Store: store, client: client, entries: batch.New(client.entries, batch.Options{Name: "read cached balances", MaxFlights: 2})}
}

// The key of an account holds a Redis hash. It is either an entry of an active account, with the fields version, balance,
// number and owner, or the lease of one reader, who may turn it into an entry.

// leaseLife is how long a reader may take to read the database and fill the cache.
const leaseLife = 500 * time.Millisecond

// entryFields are the fields of an entry.
var entryFields = []string{"version", "balance", "number", "owner"}

// readOrLease returns the entry, or OK if the caller now has the lease, or nil if another reader has it.
var readOrLease = redis.NewScript(`
	local entry = redis.call('HMGET', KEYS[1], 'version', 'balance', 'number', 'owner')
	if entry[1] then
		return entry
	end
	if redis.call('HSETNX', KEYS[1], 'lease', ARGV[1]) == 0 then
		return nil
	end
	redis.call('PEXPIRE', KEYS[1], ARGV[2])
	return redis.status_reply('OK')`)

// fill turns a lease into an entry, if it is still there.
var fill = redis.NewScript(`
	if redis.call('HGET', KEYS[1], 'lease') == ARGV[1] then
		redis.call('HDEL', KEYS[1], 'lease')
		redis.call('HSET', KEYS[1], 'version', ARGV[2], 'balance', ARGV[3], 'number', ARGV[4], 'owner', ARGV[5])
		redis.call('PEXPIRE', KEYS[1], ARGV[6])
	end
	return 0`)

// update tells the cache of commits. It deletes leases, since their readers may have read the database before the commit. It
// gives an older entry the new version and balance. It adds no entry and lets none live longer, so it does no harm however
// late it arrives. It deletes the entry of an account that was closed. Lua's numbers are exact up to 2^53,
// which no account's version reaches.
var update = redis.NewScript(`
	for i, key in ipairs(KEYS) do
		local version, balance = ARGV[2 * i - 1], ARGV[2 * i]
		local present = tonumber(redis.call('HGET', key, 'version'))
		if not present or version == 'closed' then
			redis.call('DEL', key)
		elseif present < tonumber(version) then
			redis.call('HSET', key, 'version', version, 'balance', balance)
		end
	end
	return 0`)

// Apply implements ledger.Store. It tells the cache the new balances before it answers, so that callers read their own
// writes. It tells the cache also if a command is only repeated: the process may have died after the first commit.
func (b *Balances) Apply(ctx context.Context, commands []ledger.Command, decide func(ledger.State) ledger.Effects) error {
	var touched map[string]ledger.Account // by number
	err := b.Store.Apply(ctx, commands, func(state ledger.State) ledger.Effects {
		effects := decide(state) // changes state.Accounts
		touched = map[string]ledger.Account{}
		for _, c := range commands {
			if a := state.Accounts[c.AccountNumber]; a != nil {
				touched[a.Number] = *a
			}
		}
		return effects
	})
	switch {
	case len(touched) == 0:
	case err != nil:
		b.client.missed() // it may have been committed all the same
	default:
		b.tell(ctx, slices.Collect(maps.Values(touched))...)
	}
	return err
}

// Deactivate implements customer.Store.
func (b *Balances) Deactivate(ctx context.Context, accountID string, at time.Time) error {
	err := b.Store.Deactivate(ctx, accountID, at)
	switch {
	case err == nil:
		b.tell(ctx, ledger.Account{ID: accountID, Active: false})
	case fault.From(err).Kind != fault.Refused: // it may have been committed all the same
		b.client.missed()
	}
	return err
}

// Reopen does not tell the cache: it holds no entry of a closed account, and a reader of a closed account makes none.

// Balance implements ledger.Store.
func (b *Balances) Balance(ctx context.Context, accountID string) (ledger.Account, error) {
	cached, lease := b.read(ctx, accountID)
	if cached != nil {
		return *cached, nil
	}
	stored, err := b.Store.Balance(ctx, accountID)
	if err == nil && stored.Active && lease != "" {
		_ = b.client.try(ctx, func(ctx context.Context) error { // the client counts failures
			return fill.Run(ctx, b.client.redis, []string{b.key(accountID)}, lease,
				stored.Version, int64(stored.Balance), stored.Number, stored.Owner, (b.client.ttl - leaseLife).Milliseconds()).Err()
		})
	}
	return stored, err
}

func (b *Balances) key(accountID string) string { return b.client.prefix + "balance:" + accountID }

// tell updates the cache after a commit that has left the accounts as given.
func (b *Balances) tell(ctx context.Context, accounts ...ledger.Account) {
	var keys []string
	var values []any
	for _, a := range accounts {
		keys = append(keys, b.key(a.ID))
		if a.Active {
			values = append(values, a.Version, int64(a.Balance))
		} else {
			values = append(values, "closed", 0) // refunds still change its balance, but nobody may read it
		}
	}
	// The commit has happened, even if nobody waits for it any more.
	err := b.client.try(context.WithoutCancel(ctx), func(ctx context.Context) error {
		return update.Run(ctx, b.client.redis, keys, values...).Err()
	})
	if err != nil {
		b.client.missed()
	}
}

// read returns the account if there is an entry, or else a lease for making one, or neither.
func (b *Balances) read(ctx context.Context, accountID string) (a *ledger.Account, lease string) {
	result := "away"
	defer func() { requests.WithLabelValues(result).Inc() }()
	if !b.client.trusted() {
		return nil, ""
	}
	// Most readings are hits, so a plain command comes first: a script costs Redis and this process more. Readers share a round
	// trip, since with TLS that costs both sides more than the command does.
	bounded, cancel := context.WithTimeout(ctx, b.client.wait)
	defer cancel()
	fields, err := b.entries.Do(bounded, b.key(accountID))
	if err == nil && fields[0] == nil {
		fields, lease, err = b.client.entryOrLease(ctx, b.key(accountID))
	}
	if err != nil {
		return nil, ""
	}
	result = "miss"
	if fields == nil {
		return nil, lease
	}
	if a = parse(accountID, fields); a != nil {
		result = "hit"
	}
	return a, ""
}

// entries reads the entries of many keys in one round trip. A field that is not there is nil.
func (c *Client) entries(ctx context.Context, keys []string) ([][]any, error) {
	found := make([][]any, len(keys))
	err := c.try(ctx, func(ctx context.Context) error {
		answers, err := c.redis.Pipelined(ctx, func(pipeline redis.Pipeliner) error {
			for _, key := range keys {
				pipeline.HMGet(ctx, key, entryFields...)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i, answer := range answers {
			found[i] = answer.(*redis.SliceCmd).Val()
		}
		return nil
	})
	return found, err
}

// entryOrLease returns the fields of an entry, or a lease for making one, or neither.
func (c *Client) entryOrLease(ctx context.Context, key string) (fields []any, lease string, err error) {
	token := rand.Text()
	var found any
	err = c.try(ctx, func(ctx context.Context) (err error) {
		found, err = readOrLease.Run(ctx, c.redis, []string{key}, token, leaseLife.Milliseconds()).Result()
		if errors.Is(err, redis.Nil) {
			err = nil
		}
		return err
	})
	if found == "OK" {
		lease = token
	}
	fields, _ = found.([]any)
	return fields, lease, err
}

// parse reads the fields of an entry. It returns nil if a field is missing, empty or malformed.
func parse(accountID string, fields []any) *ledger.Account {
	texts := make([]string, 4)
	for i := range texts {
		if texts[i], _ = fields[i].(string); texts[i] == "" {
			return nil
		}
	}
	version, err := strconv.ParseInt(texts[0], 10, 64)
	balance, err2 := strconv.ParseInt(texts[1], 10, 64)
	if err != nil || err2 != nil {
		return nil
	}
	return &ledger.Account{
		ID: accountID, Version: version, Balance: money.Cents(balance), Number: texts[2], Owner: texts[3], Active: true,
	}
}
