package ledger

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
)

// Store keeps the ledger.
type Store interface {
	// Apply runs one transaction: it loads and locks what the commands touch, calls decide once, and writes the effects.
	// Two Apply calls never decide on the same account or key at the same time. A retry after a lost race calls decide
	// again, with the newer state. The store ignores Command.Then: what a Then touches is among the commands as well.
	Apply(ctx context.Context, commands []Command, decide func(State) Effects) error
	// Balance returns the account with its owner, or ErrUnknownAccount.
	Balance(ctx context.Context, accountID string) (Account, error)
	// Standings returns the existing accounts among numbers, by number and without their owners, and those keys that the
	// ledger has decided. It reads the keys after the accounts: if a returned balance includes a key's movement, decided
	// contains the key. It reads the database, never a cache.
	Standings(ctx context.Context, numbers, keys []string) (accounts map[string]Account, decided map[string]bool, err error)
	// Statement returns up to limit movements of an active account that match the filter, newest first unless the filter says
	// otherwise, and without the counterparties' names. It returns none if the account is closed or does not exist.
	Statement(ctx context.Context, accountID string, filter Filter, limit int) ([]Movement, error)
	// Mark returns where an instant divides the movements of an account: those before it and those from it on. nil stands for
	// the end of all movements. Instants in order have marks in order, also if two movements were made within the difference
	// of two replicas' clocks and the later one has the earlier time. An account without movements has the zero Mark.
	Mark(ctx context.Context, accountID string, at *time.Time) (Mark, error)
	// Owners returns the names of the customers who own the accounts, open or closed, by account number.
	Owners(ctx context.Context, numbers []string) (map[string]string, error)
}

// Filter narrows a statement. Zero values do not narrow.
type Filter struct {
	Before      int64 // only movements with a smaller Seq
	After       int64 // only movements with a greater Seq
	OldestFirst bool
}

// Mark is a position between two movements of an account.
type Mark struct {
	Seq     int64       // of the movement before it; 0 if there is none
	Balance money.Cents // after that movement
}

// Period is the part of an account's movements that is not before From and before To. Either may be nil.
type Period struct {
	From, To         *time.Time
	Opening, Closing Mark

	// CompleteUntil is To, or a little before now if To is later. Nothing can be added to the part of the period before it. To the part
	// after it, movements may still be added that are being committed.
	CompleteUntil time.Time
}

// Movements returns how many movements the period has.
func (p Period) Movements() int64 { return p.Closing.Seq - p.Opening.Seq }

// Ledger applies commands and answers queries. Book is the one that decides. What joins the commands of several callers, or
// breaks a step on purpose, is a decorator: it wraps a Ledger and is a Ledger (docs/architecture.md#layers).
type Ledger interface {
	// Apply answers each command, in order. If the Err of a result is not one of the ledger's own, the outcome of its command
	// is unknown, and the caller has to send it again with the same key. If Apply fails, that is so for all commands. Apply may
	// leave the Then of an applied command undecided.
	Apply(ctx context.Context, commands []Command) ([]Result, error)
	// Balance returns an active account with its owner.
	Balance(ctx context.Context, accountID string) (Account, error)
	// Standings returns what accounts have, and which keys are decided: see Store.
	Standings(ctx context.Context, numbers, keys []string) (accounts map[string]Account, decided map[string]bool, err error)
	// Statement returns up to limit movements of an active account, newest first unless the filter says otherwise, with the
	// counterparties' names.
	Statement(ctx context.Context, accountID string, filter Filter, limit int) ([]Movement, error)
	// Period returns the movements from one instant up to another one, by their numbers, and the balances before and after
	// them. Periods that follow each other have no movement in common and leave none out, as far as they are complete.
	Period(ctx context.Context, accountID string, from, to *time.Time) (Period, error)
}

// ApplyOne is Ledger.Apply for a single command.
func ApplyOne(ctx context.Context, l Ledger, c Command) (Result, error) {
	results, err := l.Apply(ctx, []Command{c})
	if err != nil {
		return Result{}, err
	}
	return results[0], results[0].Err
}

// Book is the Ledger that a Store keeps.
type Book struct{ store Store }

// New returns a ledger kept in store.
func New(store Store) *Book { return &Book{store: store} }

// Apply implements Ledger: it decides the commands, and the Then of each that is applied, in one transaction.
func (b *Book) Apply(ctx context.Context, commands []Command) (results []Result, err error) {
	err = b.store.Apply(ctx, withThens(commands), func(state State) (effects Effects) {
		results, effects = decide(state, commands, time.Now())
		return effects
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// withThens returns the commands and their Thens.
func withThens(commands []Command) []Command {
	all := slices.Clip(commands)
	for _, c := range commands {
		if c.Then != nil {
			all = append(all, *c.Then)
		}
	}
	return all
}

// Balance implements Ledger.
func (b *Book) Balance(ctx context.Context, accountID string) (Account, error) {
	account, err := b.store.Balance(ctx, accountID)
	if err == nil && !account.Active {
		err = ErrInactiveAccount
	}
	return account, err
}

// Standings implements Ledger.
func (b *Book) Standings(ctx context.Context, numbers, keys []string) (map[string]Account, map[string]bool, error) {
	return b.store.Standings(ctx, numbers, keys)
}

// Statement implements Ledger.
func (b *Book) Statement(ctx context.Context, accountID string, filter Filter, limit int) ([]Movement, error) {
	movements, err := b.store.Statement(ctx, accountID, filter, limit)
	if err != nil {
		return nil, err
	}
	if len(movements) == 0 {
		_, err = b.Balance(ctx, accountID) // is it active?
		return nil, err
	}
	return movements, b.nameCounterparties(ctx, movements)
}

// nameCounterparties fills in the counterparties' names.
func (b *Book) nameCounterparties(ctx context.Context, movements []Movement) error {
	var numbers []string
	for _, m := range movements {
		if m.Counterparty != "" {
			numbers = append(numbers, m.Counterparty)
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	slices.Sort(numbers)
	owners, err := b.store.Owners(ctx, slices.Compact(numbers))
	if err != nil {
		return err
	}
	for i := range movements {
		movements[i].CounterpartyName = owners[movements[i].Counterparty]
	}
	return nil
}

// settling is how long a movement may take to appear: it has the time at which it is decided, and others see it once its
// transaction is committed. The calls of a batch end after 10 s, and the database ends a COMMIT after 8 s. The rest of the minute
// is for replicas' clocks, which differ.
const settling = time.Minute

// Period implements Ledger.
func (b *Book) Period(ctx context.Context, accountID string, from, to *time.Time) (Period, error) {
	p := Period{From: from, To: to, CompleteUntil: time.Now().Add(-settling)}
	if to != nil && to.Before(p.CompleteUntil) {
		p.CompleteUntil = *to
	}
	var err error
	if from != nil {
		if p.Opening, err = b.store.Mark(ctx, accountID, from); err != nil {
			return p, err
		}
	}
	p.Closing, err = b.store.Mark(ctx, accountID, to)
	if p.Closing.Seq < p.Opening.Seq { // to is before from
		p.Closing = p.Opening
	}
	return p, err
}

// pageSize is how many movements Walk has in memory.
const pageSize = 1000

// errEndedEarly is the failure of a walk that did not find all movements of its period.
var errEndedEarly = fault.Away(errors.New("the statement has fewer movements than its period"))

// Walk calls visit for each movement of an active account's period, oldest first. It reads a page at a time, and reads none
// while visit runs: whoever is slow to take the movements holds no connection to the database. Movements never change, so the
// pages fit together.
func Walk(ctx context.Context, l Ledger, accountID string, p Period, visit func(Movement) error) error {
	filter := Filter{After: p.Opening.Seq, Before: p.Closing.Seq + 1, OldestFirst: true}
	for filter.After < p.Closing.Seq {
		page, err := l.Statement(ctx, accountID, filter, pageSize)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return errEndedEarly
		}
		for _, m := range page {
			if m.Seq != filter.After+1 {
				return errEndedEarly
			}
			filter.After = m.Seq
			if err := visit(m); err != nil {
				return err
			}
		}
	}
	return nil
}
