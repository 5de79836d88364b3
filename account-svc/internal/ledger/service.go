package ledger

import (
	"context"
	"time"

	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/crashpoint"
)

// Store keeps the ledger.
type Store interface {
	// Apply runs one transaction: it loads and locks what the commands touch, calls decide once, and writes the effects.
	// Two Apply calls never decide on the same account or key at the same time. A retry after a lost race calls decide
	// again, with the newer state.
	Apply(ctx context.Context, commands []Command, decide func(State) Effects) error
	// Balance returns the account with its owner, or ErrUnknownAccount.
	Balance(ctx context.Context, accountID string) (Account, error)
	// Standings returns the existing accounts among numbers, by number and without their owners, and those keys that the
	// ledger has decided. It reads the keys after the accounts: if a returned balance includes a key's movement, decided
	// contains the key. It reads the database, never a cache.
	Standings(ctx context.Context, numbers, keys []string) (accounts map[string]Account, decided map[string]bool, err error)
	// Statement returns up to limit movements of an account that match the filter, newest first.
	Statement(ctx context.Context, accountID string, filter Filter, limit int) ([]Movement, error)
}

// Filter narrows a statement. Zero values do not narrow.
type Filter struct {
	Before int64      // only movements with a smaller Seq
	From   *time.Time // inclusive
	To     *time.Time // exclusive
}

// Ledger applies commands and answers queries.
type Ledger struct {
	store   Store
	commits *batch.Batcher[Command, Result]
}

// maxJoined bounds how many commands share a transaction.
const maxJoined = 1024

// New returns a ledger kept in store. Commands that arrive together share a transaction (group commit). If the transaction
// fails because of one command or account, the ledger repeats the others without it.
func New(store Store) *Ledger {
	l := &Ledger{store: store}
	l.commits = batch.NewDivisible(l.commit, func(c Command) string { return c.AccountNumber }, batch.Options{MaxItems: maxJoined})
	return l
}

// Close waits for the commands already accepted.
func (l *Ledger) Close() { l.commits.Close() }

// Apply answers each command, in order. If the Err of a result is not one of the ledger's own, the outcome of its command is
// unknown, and the caller has to send it again with the same key. If Apply fails, that is so for all commands.
func (l *Ledger) Apply(ctx context.Context, commands []Command) ([]Result, error) {
	results, errs := l.commits.DoAll(ctx, commands)
	crashpoint.Reach("ledger", "applied")
	failed := 0
	for i, err := range errs {
		if err != nil {
			results[i] = Result{Err: err}
			failed++
		}
	}
	if failed > 0 && failed == len(commands) {
		return nil, errs[0]
	}
	return results, nil
}

// ApplyOne is Apply for a single command.
func (l *Ledger) ApplyOne(ctx context.Context, c Command) (Result, error) {
	results, err := l.Apply(ctx, []Command{c})
	if err != nil {
		return Result{}, err
	}
	return results[0], results[0].Err
}

// commit decides commands in one transaction.
func (l *Ledger) commit(ctx context.Context, commands []Command) (results []Result, err error) {
	err = l.store.Apply(ctx, commands, func(state State) (effects Effects) {
		results, effects = decide(state, commands, time.Now())
		return effects
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// Balance returns an active account with its owner.
func (l *Ledger) Balance(ctx context.Context, accountID string) (Account, error) {
	account, err := l.store.Balance(ctx, accountID)
	if err == nil && !account.Active {
		err = ErrInactiveAccount
	}
	return account, err
}

// Standings returns what accounts have, and which keys are decided: see Store.
func (l *Ledger) Standings(ctx context.Context, numbers, keys []string) (map[string]Account, map[string]bool, error) {
	return l.store.Standings(ctx, numbers, keys)
}

// Statement returns up to limit movements of an active account, newest first.
func (l *Ledger) Statement(ctx context.Context, accountID string, filter Filter, limit int) ([]Movement, error) {
	if _, err := l.Balance(ctx, accountID); err != nil {
		return nil, err
	}
	return l.store.Statement(ctx, accountID, filter, limit)
}
