// Package groupcommit lets the commands of concurrent callers share a transaction: a decorator of the ledger.
package groupcommit

import (
	"context"
	"errors"
	"slices"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/batch"
)

// Ledger applies commands that arrive together as one batch.
type Ledger struct {
	ledger.Ledger
	commits *batch.Batcher[ledger.Command, ledger.Result]
}

// maxJoined bounds how many commands share a transaction. Each may have a Then, so a transaction adds up to twice as many
// movements.
const maxJoined = 1024

// New returns a ledger in front of inner. If the transaction of a batch fails because of one command or account, Ledger
// repeats the other commands without it.
func New(inner ledger.Ledger) *Ledger {
	l := &Ledger{Ledger: inner}
	l.commits = batch.NewDivisible(l.decide, func(c ledger.Command) string { return c.AccountNumber }, batch.Options{Name: "commit movements", MaxItems: maxJoined})
	return l
}

// decide has inner decide a batch in one transaction. A Then needs a second account. So decide leaves it out if one of the two
// accounts is apart: then a transaction that waits for a locked account holds no other account, and a transaction of many
// accounts does not come to wait for one that is known to be locked. The Then of a command that is alone in its batch is left
// out also if the database has refused the two together. In larger batches that follows from their division.
func (l *Ledger) decide(ctx context.Context, commands []ledger.Command) ([]ledger.Result, error) {
	commands = without(commands, func(c ledger.Command) bool { return l.commits.Apart(c.AccountNumber, c.Then.AccountNumber) })
	results, err := l.Ledger.Apply(ctx, commands)
	if batch.ExtentOf(err) == batch.OneInput && len(commands) == 1 && commands[0].Then != nil {
		return l.Ledger.Apply(ctx, without(commands, func(ledger.Command) bool { return true }))
	}
	return results, err
}

// without returns the commands without those Thens that leave says to leave out.
func without(commands []ledger.Command, leave func(c ledger.Command) bool) []ledger.Command {
	rest := commands
	for i, c := range commands {
		if c.Then == nil || !leave(c) {
			continue
		}
		if &rest[0] == &commands[0] {
			rest = slices.Clone(commands)
		}
		rest[i].Then = nil
	}
	return rest
}

// Close waits for the commands already accepted.
func (l *Ledger) Close() { l.commits.Close() }

// Apply implements ledger.Ledger. A command that fails alone has its error in its result. A Then is left undecided while one of
// the two accounts is locked, or if the database refuses it.
//
// A service has few calls in flight, and other commands of its own wait behind them. So if all commands are a service's and all
// wait for locked accounts, Apply leaves them undecided after 100 ms. A customer's command waits for as long as its caller does.
func (l *Ledger) Apply(ctx context.Context, commands []ledger.Command) ([]ledger.Result, error) {
	do := l.commits.DoAll
	if !slices.ContainsFunc(commands, func(c ledger.Command) bool { return c.TransferID == "" }) {
		do = l.commits.DoAllBriefly
	}
	results, errs := do(ctx, commands)
	failed, waiting := 0, 0
	for i, err := range errs {
		if err != nil {
			results[i] = ledger.Result{Err: err}
			failed++
		}
		if errors.Is(err, batch.ErrStraggler) {
			waiting++
		}
	}
	if failed > 0 && failed == len(commands) && waiting == 0 {
		return nil, errs[0]
	}
	return results, nil
}
