// Package accounttest stands for account-svc in the tests of other services. It has a fake of the ledger, and TestLedger, which
// shows that the fake answers as the real one does.
package accounttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
)

// Fault is what happens to one call on its way to the ledger and back.
type Fault string

// The faults. After each but None the caller does not know the outcome, neither of the movement nor of its Then.
const (
	None        Fault = "none"
	LostRequest Fault = "lost request" // the ledger never gets the call
	LostAnswer  Fault = "lost answer"  // the ledger decides, but its answer is lost
	Late        Fault = "late request" // the ledger gets the call only when Deliver is called
	Silence     Fault = "silence"      // the ledger decides, but the caller gets no answer before its context ends
	Rejected    Fault = "rejected"     // the ledger gets the call and answers that it could not decide
)

// Faults are all faults but None.
var Faults = []Fault{LostRequest, LostAnswer, Late, Silence, Rejected}

// ErrUnknown is what a caller gets after each fault but Silence, which ends with the error of the caller's context.
var ErrUnknown = errors.New("unknown outcome")

// Account is a customer's account.
type Account struct {
	Balance  money.Cents
	Inactive bool
}

// Decision is what the ledger has decided on one request id, for ever.
type Decision struct {
	Movement accountapi.Movement // without its Then, which has a Decision of its own
	Refusal  *accountapi.Refusal // nil: applied
}

// Calls counts the calls that callers have made, with those that a fault befell.
type Calls struct {
	Moves    int // of Move; a Then does not count
	Balances int // of Balances
	Accounts int // that Balances was asked about
}

// Ledger is the fake: a ledger in memory that keeps the contract of accountapi. Unlike the real one it counts no money in
// transit against the limit of a balance, and describes no movements. Several goroutines may use it.
type Ledger struct {
	mu         sync.Mutex
	accounts   map[string]*Account
	decisions  []Decision
	byID       map[string]int // index in decisions, by request id
	late       []accountapi.Movement
	calls      Calls
	misuses    []string
	onMove     func(m accountapi.Movement) Fault
	onBalances func() Fault
}

// New returns a ledger with these accounts, by number, and no faults.
func New(accounts map[string]Account) *Ledger {
	l := &Ledger{accounts: map[string]*Account{}, byID: map[string]int{}}
	for number, account := range accounts {
		l.accounts[number] = &account
	}
	l.OnMove(nil)
	l.OnBalances(nil)
	return l
}

// OnMove sets the function that chooses the fault of each call of Move; nil chooses None. The function may change accounts
// with Change.
func (l *Ledger) OnMove(choose func(m accountapi.Movement) Fault) {
	if choose == nil {
		choose = func(accountapi.Movement) Fault { return None }
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onMove = choose
}

// OnBalances sets the function that chooses the fault of each call of Balances; nil chooses None.
func (l *Ledger) OnBalances(choose func() Fault) {
	if choose == nil {
		choose = func() Fault { return None }
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onBalances = choose
}

// Move sends one movement, as accountapi.Client.Move does.
func (l *Ledger) Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return accountapi.Outcome{}, err
	}
	l.mu.Lock()
	l.calls.Moves++
	onMove := l.onMove
	l.mu.Unlock()
	switch onMove(m) {
	case LostRequest, Rejected:
		return accountapi.Outcome{}, ErrUnknown
	case LostAnswer:
		l.apply(m)
		return accountapi.Outcome{}, ErrUnknown
	case Late:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.late = append(l.late, m)
		return accountapi.Outcome{}, ErrUnknown
	case Silence:
		l.apply(m)
		<-ctx.Done()
		return accountapi.Outcome{}, ctx.Err()
	default:
		return l.apply(m)[0].Outcome()
	}
}

// Balances asks what accounts have, as accountapi.Client.Balances does.
func (l *Ledger) Balances(ctx context.Context, questions []accountapi.BalanceQuestion) ([]accountapi.Standing, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.calls.Balances++
	l.calls.Accounts += len(questions)
	onBalances := l.onBalances
	l.mu.Unlock()
	switch onBalances() {
	case None:
		return l.standings(questions)
	case Silence:
		<-ctx.Done()
		return nil, ctx.Err()
	default:
		return nil, ErrUnknown
	}
}

// Invoke implements accountapi.Invoker for the operations at accountapi.MovementsPath and accountapi.BalancesPath, without
// faults.
func (l *Ledger) Invoke(_ context.Context, appID, path string, in, out any) error {
	if appID != accountapi.AppID {
		return fmt.Errorf("app %s is called, not %s", appID, accountapi.AppID)
	}
	switch path {
	case accountapi.MovementsPath:
		commands := in.(accountapi.Movements).Commands
		if n := len(commands); n == 0 || n > accountapi.MaxMovements {
			return l.misused("%d commands in one call", n)
		}
		out.(*accountapi.MovementResults).Results = l.apply(commands...)
		return nil
	case accountapi.BalancesPath:
		standings, err := l.standings(in.(accountapi.Balances).Accounts)
		out.(*accountapi.BalanceResults).Accounts = standings
		return err
	default:
		return fmt.Errorf("%s has no operation %s here", appID, path)
	}
}

// Deliver hands every late request to the ledger.
func (l *Ledger) Deliver() {
	l.mu.Lock()
	late := l.late
	l.late = nil
	l.mu.Unlock()
	l.apply(late...)
}

// apply answers commands in their order.
func (l *Ledger) apply(commands ...accountapi.Movement) []accountapi.MovementResult {
	l.mu.Lock()
	defer l.mu.Unlock()
	results := make([]accountapi.MovementResult, len(commands))
	for i, m := range commands {
		results[i] = l.decide(m)
	}
	return results
}

// decide answers m and, if m is applied, its Then.
func (l *Ledger) decide(m accountapi.Movement) accountapi.MovementResult {
	then := m.Then
	m.Then = nil
	if !wellFormed(m) || then != nil && (then.Then != nil || !wellFormed(*then)) {
		l.misuses = append(l.misuses, fmt.Sprintf("malformed: %+v", m))
		return accountapi.MovementResult{Status: accountapi.StatusRejected, Type: fault.TypeInvalidArgument, Message: "malformed"}
	}
	i, replayed := l.byID[m.RequestID]
	switch {
	case !replayed:
		refusal := l.refuse(m)
		if refusal == nil {
			l.accounts[m.AccountNumber].Balance += map[string]money.Cents{accountapi.Credit: m.Amount, accountapi.Debit: -m.Amount}[m.Type]
		}
		i = len(l.decisions)
		l.byID[m.RequestID] = i
		l.decisions = append(l.decisions, Decision{Movement: m, Refusal: refusal})
	case payload(l.decisions[i].Movement) != payload(m):
		l.misuses = append(l.misuses, fmt.Sprintf("key %s is used for another movement", m.RequestID))
		f := fault.ErrKeyReused
		return accountapi.MovementResult{Status: accountapi.StatusRejected, Type: f.Type, Message: f.Message}
	}
	result := accountapi.MovementResult{Status: accountapi.StatusApplied, Replayed: replayed}
	if refusal := l.decisions[i].Refusal; refusal != nil {
		result.Status, result.Type, result.Message = accountapi.StatusRefused, refusal.Type, refusal.Message
	} else if then != nil {
		result.Then = new(l.decide(*then))
	}
	return result
}

// wellFormed reports whether a service may send m at all.
func wellFormed(m accountapi.Movement) bool {
	for _, text := range []string{m.RequestID, m.AccountNumber, m.Counterparty, m.TransferID, m.Description, m.TransferRequestID, m.TransferFingerprint} {
		if strings.Contains(text, "\x00") || utf8.RuneCountInString(text) > 255 {
			return false
		}
	}
	kind := map[string]bool{
		accountapi.KindTransfer + accountapi.Debit: true, accountapi.KindTransfer + accountapi.Credit: true,
		accountapi.KindRefund + accountapi.Credit: true, accountapi.KindFee + accountapi.Debit: true,
	}[m.Kind+m.Type]
	return kind && m.RequestID != "" && m.Amount > 0 && m.TransferID != "" && (m.Kind != accountapi.KindTransfer || m.Counterparty != "")
}

// payload returns the part of m that has to be the same when its request id comes again.
func payload(m accountapi.Movement) accountapi.Movement {
	m.Description, m.TransferRequestID, m.TransferFingerprint = "", "", ""
	return m
}

// refuse returns the refusal of m, or nil.
func (l *Ledger) refuse(m accountapi.Movement) *accountapi.Refusal {
	account, counterparty := l.accounts[m.AccountNumber], l.accounts[m.Counterparty]
	transfer := m.Kind == accountapi.KindTransfer
	switch {
	case account == nil:
		return accountapi.UnknownAccount
	case m.Kind == accountapi.KindRefund:
		return nil
	case account.Inactive:
		return accountapi.InactiveAccount
	case m.Type == accountapi.Credit && account.Balance > accountapi.MaxBalance-m.Amount:
		return accountapi.BalanceLimit
	case m.Type == accountapi.Credit:
		return nil
	case transfer && counterparty == nil:
		return accountapi.UnknownAccount
	case transfer && counterparty == account:
		return accountapi.SameAccount
	case transfer && counterparty.Inactive:
		return accountapi.InactiveAccount
	case account.Balance < m.Amount:
		return accountapi.InsufficientBalance
	default:
		return nil
	}
}

func (l *Ledger) standings(questions []accountapi.BalanceQuestion) ([]accountapi.Standing, error) {
	keys := 0
	for _, q := range questions {
		keys += len(q.RequestIDs)
	}
	if n := len(questions); n == 0 || n > accountapi.MaxBalances || keys > accountapi.MaxBalanceKeys {
		return nil, l.misused("%d accounts and %d keys in one question", n, keys)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	standings := make([]accountapi.Standing, len(questions))
	for i, q := range questions {
		standings[i].AccountNumber = q.AccountNumber
		if account := l.accounts[q.AccountNumber]; account != nil {
			standings[i].Active, standings[i].Balance = !account.Inactive, min(account.Balance, accountapi.MaxStanding)
		}
		for _, id := range q.RequestIDs {
			if _, ok := l.byID[id]; ok {
				standings[i].Decided = append(standings[i].Decided, id)
			}
		}
	}
	return standings, nil
}

func (l *Ledger) misused(format string, args ...any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	misuse := fmt.Sprintf(format, args...)
	l.misuses = append(l.misuses, misuse)
	return errors.New(misuse)
}

// Add opens an account, which must not exist.
func (l *Ledger) Add(number string, account Account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accounts[number] = &account
}

// Change changes an account, which must exist.
func (l *Ledger) Change(number string, change func(*Account)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l.accounts[number])
}

// Balance returns the balance of an account, which must exist.
func (l *Ledger) Balance(number string) (balance money.Cents) {
	l.Change(number, func(a *Account) { balance = a.Balance })
	return balance
}

// Decision returns what the ledger has decided on a request id. It returns false if it has decided nothing.
func (l *Ledger) Decision(requestID string) (Decision, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, ok := l.byID[requestID]
	if !ok {
		return Decision{}, false
	}
	return l.decisions[i], true
}

// Decisions returns all decisions, in their order.
func (l *Ledger) Decisions() []Decision {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Decision(nil), l.decisions...)
}

// Movements returns the movements that the ledger has applied, in their order.
func (l *Ledger) Movements() (applied []accountapi.Movement) {
	for _, d := range l.Decisions() {
		if d.Refusal == nil {
			applied = append(applied, d.Movement)
		}
	}
	return applied
}

// Calls returns the calls of Move and Balances so far.
func (l *Ledger) Calls() Calls {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

// Misuses describes the calls that no correct caller makes. The fake answers them with an error, as account-svc does.
func (l *Ledger) Misuses() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.misuses...)
}
