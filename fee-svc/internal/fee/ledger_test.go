package fee_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
)

// delivery is what happens to one command on its way to the ledger and back.
type delivery int

const (
	arrives     delivery = iota
	lostRequest          // the ledger never gets the command
	lostAnswer           // the ledger decides, but the caller gets no answer
	lateRequest          // the ledger gets the command only when deliverLate is called
	rejected             // the ledger has a defect and does not decide
)

var errUnknown = errors.New("unknown outcome")

// ledger is a fake of account-svc. It keeps its contract: it decides each key once, for ever.
type ledger struct {
	mu       sync.Mutex
	balances map[string]money.Cents // by account number; an account that is missing does not exist
	inactive map[string]bool
	decided  map[string]accountapi.Outcome // by request id
	payloads map[string]accountapi.Movement
	debits   map[string]int // by transfer id
	order    []string       // transfer ids of the debits
	defects  []string
	late     []accountapi.Movement
	calls    int
	asks     int // calls of Balances
	asked    int // accounts in them

	// unasked makes Balances fail.
	unasked bool
	// spend is called after each answer of Balances: it can change balances between a question and a debit.
	spend func()
	// way chooses the delivery of each command. If it is nil, all arrive.
	way func(m accountapi.Movement) delivery
}

func newLedger(balances map[string]money.Cents) *ledger {
	return &ledger{
		balances: balances, inactive: map[string]bool{}, decided: map[string]accountapi.Outcome{},
		payloads: map[string]accountapi.Movement{}, debits: map[string]int{},
	}
}

// Balances implements fee.Ledger.
func (l *ledger) Balances(ctx context.Context, questions []accountapi.BalanceQuestion) ([]accountapi.Standing, error) {
	standings, err := l.standings(ctx, questions)
	if l.spend != nil && err == nil {
		l.spend()
	}
	return standings, err
}

func (l *ledger) standings(ctx context.Context, questions []accountapi.BalanceQuestion) ([]accountapi.Standing, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asks++
	l.asked += len(questions)
	keys := 0
	standings := make([]accountapi.Standing, len(questions))
	for i, q := range questions {
		balance, exists := l.balances[q.AccountNumber]
		standings[i] = accountapi.Standing{AccountNumber: q.AccountNumber, Active: exists && !l.inactive[q.AccountNumber], Balance: balance}
		for _, id := range q.RequestIDs {
			if _, ok := l.decided[id]; ok {
				standings[i].Decided = append(standings[i].Decided, id)
			}
		}
		keys += len(q.RequestIDs)
	}
	if len(questions) > accountapi.MaxBalances || keys > accountapi.MaxBalanceKeys {
		l.defects = append(l.defects, fmt.Sprintf("asked about %d accounts and %d keys at once", len(questions), keys))
	}
	if l.unasked {
		return nil, errUnknown
	}
	return standings, ctx.Err()
}

func (l *ledger) Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error) {
	way := arrives
	if l.way != nil {
		way = l.way(m)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	switch way {
	case lostAnswer:
		l.decide(m)
		return accountapi.Outcome{}, errUnknown
	case lateRequest:
		l.late = append(l.late, m)
		return accountapi.Outcome{}, errUnknown
	case lostRequest, rejected:
		return accountapi.Outcome{}, errUnknown
	default:
		if err := ctx.Err(); err != nil {
			return accountapi.Outcome{}, err
		}
		return l.decide(m), nil
	}
}

// deliverLate hands all late commands to the ledger.
func (l *ledger) deliverLate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.late {
		l.decide(m)
	}
	l.late = nil
}

func (l *ledger) deposit(account string, amount money.Cents) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.balances[account] += amount
}

func (l *ledger) decide(m accountapi.Movement) accountapi.Outcome {
	if prior, ok := l.decided[m.RequestID]; ok {
		if l.payloads[m.RequestID] != m {
			l.defects = append(l.defects, m.RequestID+" repeated with another payload")
		}
		prior.Replayed = true
		return prior
	}
	outcome := l.apply(m)
	l.decided[m.RequestID], l.payloads[m.RequestID] = outcome, m
	return outcome
}

func (l *ledger) apply(m accountapi.Movement) accountapi.Outcome {
	if m.Type != accountapi.Debit || m.Kind != accountapi.KindFee || m.Amount <= 0 || m.TransferID == "" || m.Counterparty != "" {
		l.defects = append(l.defects, m.RequestID+" is no debit of a fee")
	}
	balance, exists := l.balances[m.AccountNumber]
	switch {
	case !exists:
		return accountapi.Outcome{Refusal: fault.New(fault.Refused, "INVALID_ACCOUNT", "Conta não encontrada.")}
	case l.inactive[m.AccountNumber]:
		return accountapi.Outcome{Refusal: fault.New(fault.Refused, "INACTIVE_ACCOUNT", "Conta inativa.")}
	case balance < m.Amount:
		return accountapi.Outcome{Refusal: fault.New(fault.Refused, "INSUFFICIENT_BALANCE", "Saldo insuficiente.")}
	}
	l.balances[m.AccountNumber] -= m.Amount
	l.debits[m.TransferID]++
	l.order = append(l.order, m.TransferID)
	return accountapi.Outcome{}
}

// refusals counts the keys that the ledger has refused for lack of balance. The real ledger keeps a row for each.
func (l *ledger) refusals() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, outcome := range l.decided {
		if outcome.Refusal != nil && outcome.Refusal.Type == "INSUFFICIENT_BALANCE" {
			n++
		}
	}
	return n
}

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
