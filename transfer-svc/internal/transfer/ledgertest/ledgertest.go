// Package ledgertest is a fake of account-svc for tests: a ledger in memory. It keeps account-svc's promise of one
// definitive outcome per key. The connection to it can lose a request, lose an answer, or deliver a request late.
package ledgertest

import (
	"context"
	"errors"
	"sync"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
)

// Refusals, as account-svc words them.
var (
	ErrUnknownAccount      = fault.New(fault.Refused, "INVALID_ACCOUNT", "Conta não encontrada.")
	ErrInactiveAccount     = fault.New(fault.Refused, "INACTIVE_ACCOUNT", "Conta inativa.")
	ErrInsufficientBalance = fault.New(fault.Refused, "INSUFFICIENT_BALANCE", "Saldo insuficiente.")
)

// Fault is what happens to one call on its way.
type Fault string

// The faults. After each but None the caller does not know the outcome.
const (
	None        Fault = "none"
	LostRequest Fault = "lost request" // the ledger never sees it
	LostAnswer  Fault = "lost answer"  // the ledger decides, but its answer is lost
	Late        Fault = "late"         // the ledger gets the request only when Deliver is called
	Silence     Fault = "silence"      // the ledger decides, but the caller gets no answer before its context ends
)

// Faults are all faults but None.
var Faults = []Fault{LostRequest, LostAnswer, Late, Silence}

// ErrLost is what a caller gets for LostRequest, LostAnswer and Late.
var ErrLost = errors.New("connection lost")

// Account is a customer's account.
type Account struct {
	Balance  money.Cents
	Inactive bool
}

// Ledger is the fake of account-svc.
type Ledger struct {
	mu       sync.Mutex
	accounts map[string]*Account
	decided  map[string]decision
	late     []accountapi.Movement
	onMove   func(m accountapi.Movement) Fault
}

type decision struct {
	movement accountapi.Movement
	refusal  *fault.Error
}

// New returns a ledger with these accounts, by number, and no faults.
func New(accounts map[string]Account) *Ledger {
	l := &Ledger{accounts: map[string]*Account{}, decided: map[string]decision{}}
	for number, account := range accounts {
		l.accounts[number] = &account
	}
	l.OnMove(func(accountapi.Movement) Fault { return None })
	return l
}

// OnMove sets the function that chooses the fault of each call. It may change accounts with Change.
func (l *Ledger) OnMove(decide func(m accountapi.Movement) Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onMove = decide
}

// Change changes an account.
func (l *Ledger) Change(number string, change func(*Account)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l.accounts[number])
}

// Move implements transfer.Ledger.
func (l *Ledger) Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return accountapi.Outcome{}, err
	}
	l.mu.Lock()
	onMove := l.onMove
	l.mu.Unlock()
	switch onMove(m) {
	case LostRequest:
		return accountapi.Outcome{}, ErrLost
	case LostAnswer:
		l.decide(m)
		return accountapi.Outcome{}, ErrLost
	case Late:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.late = append(l.late, m)
		return accountapi.Outcome{}, ErrLost
	case Silence:
		l.decide(m)
		<-ctx.Done()
		return accountapi.Outcome{}, ctx.Err()
	default:
		return l.decide(m), nil
	}
}

// Deliver hands every late request to the ledger.
func (l *Ledger) Deliver() {
	l.mu.Lock()
	late := l.late
	l.late = nil
	l.mu.Unlock()
	for _, m := range late {
		l.decide(m)
	}
}

func (l *Ledger) decide(m accountapi.Movement) accountapi.Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	if prior, ok := l.decided[m.RequestID]; ok {
		if prior.movement != m {
			panic("key " + m.RequestID + " was used for another movement")
		}
		return accountapi.Outcome{Refusal: prior.refusal, Replayed: true}
	}
	refusal := l.refuse(m)
	if refusal == nil && m.Type == accountapi.Debit {
		l.accounts[m.AccountNumber].Balance -= m.Amount
	} else if refusal == nil {
		l.accounts[m.AccountNumber].Balance += m.Amount
	}
	l.decided[m.RequestID] = decision{movement: m, refusal: refusal}
	return accountapi.Outcome{Refusal: refusal}
}

func (l *Ledger) refuse(m accountapi.Movement) *fault.Error {
	account, counterparty := l.accounts[m.AccountNumber], l.accounts[m.Counterparty]
	switch {
	case account == nil:
		return ErrUnknownAccount
	case account.Inactive && m.Kind != accountapi.KindRefund:
		return ErrInactiveAccount
	case m.Type == accountapi.Credit:
		return nil
	case counterparty == nil:
		return ErrUnknownAccount
	case counterparty.Inactive:
		return ErrInactiveAccount
	case account.Balance < m.Amount:
		return ErrInsufficientBalance
	default:
		return nil
	}
}

// Balance returns the balance of an account, in cents.
func (l *Ledger) Balance(number string) money.Cents {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accounts[number].Balance
}

// Legs reports which legs of a transfer have moved money.
func (l *Ledger) Legs(transferID string) (debited, credited, refunded bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	moved := func(leg string) bool {
		d, ok := l.decided[transferID+":"+leg]
		return ok && d.refusal == nil
	}
	return moved("debit"), moved("credit"), moved("refund")
}

// Movements counts the movements that the ledger has applied.
func (l *Ledger) Movements() (count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.decided {
		if d.refusal == nil {
			count++
		}
	}
	return count
}
