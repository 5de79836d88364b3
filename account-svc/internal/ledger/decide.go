package ledger

import (
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
)

// State is what a batch of commands is decided on: the existing accounts that the commands name, by number, and the earlier
// decisions on their keys. A store loads and locks it.
type State struct {
	Accounts  map[string]*Account
	Decisions map[string]Decision
}

// Effects is what a batch changes: rows to add, and accounts with a new balance and version.
type Effects struct {
	Movements []Movement
	Refused   map[string]Decision // by request key
	Accounts  []Change
}

// Change is an account's new balance and version, valid only if its version is still Was.
type Change struct {
	Account
	Was int64
}

// decide answers commands in order, each before its Then, and collects what the store has to write. Each command sees the
// effects of those before it. All rules of the ledger are in this package; stores only load and write.
func decide(state State, commands []Command, now time.Time) ([]Result, Effects) {
	b := bookkeeper{state: state, now: now, was: map[string]int64{}, refused: map[string]Decision{}}
	results := make([]Result, len(commands))
	for i, c := range commands {
		if !c.wellFormed() {
			results[i] = Result{Err: ErrMalformed}
			continue
		}
		results[i] = b.decide(c)
		if c.Then != nil && results[i].applied() {
			results[i].Then = new(b.decide(*c.Then))
		}
	}
	return results, b.effects()
}

type bookkeeper struct {
	state     State
	now       time.Time
	movements []Movement
	refused   map[string]Decision
	was       map[string]int64 // versions of changed accounts before the batch, by number
}

// decide answers c without its Then.
func (b *bookkeeper) decide(c Command) Result {
	if prior, ok := b.state.Decisions[c.RequestKey]; ok {
		return prior.replay(c)
	}
	decision := Decision{Fingerprint: c.Fingerprint}
	account := b.state.Accounts[c.AccountNumber]
	if account != nil && c.Type == Credit && account.Balance > math.MaxInt64-c.Amount {
		return Result{Err: ErrOverflow}
	}
	refusal := c.refuse(account, b.state.Accounts[c.Counterparty])
	if refusal != nil {
		decision.Refusal = refusal.Type
		b.refused[c.RequestKey] = decision
	} else {
		b.apply(c, account)
	}
	b.state.Decisions[c.RequestKey] = decision
	return Result{Refusal: refusal}
}

func (d Decision) replay(c Command) Result {
	if d.Fingerprint != c.Fingerprint {
		return Result{Err: fault.ErrKeyReused}
	}
	refusal := accountapi.RefusalOf(d.Refusal)
	if refusal == nil && d.Refusal != "" {
		return Result{Err: fmt.Errorf("request %s was refused with the unknown type %s", c.RequestKey, d.Refusal)}
	}
	return Result{Refusal: refusal, Replayed: true}
}

func (b *bookkeeper) apply(c Command, account *Account) {
	if _, changed := b.was[account.Number]; !changed {
		b.was[account.Number] = account.Version
	}
	account.Version++
	if c.Type == Credit {
		account.Balance += c.Amount
	} else {
		account.Balance -= c.Amount
	}
	switch {
	case c.Kind == Transfer && c.Type == Debit: // the amount moves from Balance to InTransit, so their sum stays the same
		account.InTransit += c.Amount
	case c.Kind == Refund:
		account.InTransit = max(account.InTransit-c.Amount, 0)
	}
	if c.Description == "" {
		c.Description = directions[c.Kind][c.Type]
	}
	b.movements = append(b.movements, Movement{
		ID: uuid.Must(uuid.NewV7()).String(), RequestKey: c.RequestKey, Fingerprint: c.Fingerprint,
		AccountID: account.ID, Seq: account.Version, Type: c.Type, Amount: c.Amount, Contra: contra[c.Kind], Kind: c.Kind,
		Counterparty: c.Counterparty, TransferID: c.TransferID, Description: c.Description,
		BalanceAfter: account.Balance, CreatedAt: b.now,
		TransferRequestID: c.TransferRequestID, TransferFingerprint: c.TransferFingerprint,
	})
}

func (b *bookkeeper) effects() Effects {
	e := Effects{Movements: b.movements, Refused: b.refused}
	for number, was := range b.was {
		e.Accounts = append(e.Accounts, Change{Account: *b.state.Accounts[number], Was: was})
	}
	return e
}
