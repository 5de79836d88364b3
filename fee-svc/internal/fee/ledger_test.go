package fee_test

import (
	"fmt"
	"sync"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/accountapi/accounttest"
	"github.com/bankmore/bankmore/platform/money"
)

// ledger is the fake of account-svc, with what tests of fees ask.
type ledger struct{ *accounttest.Ledger }

// newLedger returns a ledger of active accounts.
func newLedger(balances map[string]money.Cents) ledger {
	l := ledger{accounttest.New(nil)}
	for number, balance := range balances {
		l.Add(number, accounttest.Account{Balance: balance})
	}
	return l
}

func (l ledger) deposit(account string, amount money.Cents) {
	l.Change(account, func(a *accounttest.Account) { a.Balance += amount })
}

// debits counts the debits that the ledger has applied, by transfer.
func (l ledger) debits() map[string]int {
	debits := map[string]int{}
	for _, m := range l.Movements() {
		debits[m.TransferID]++
	}
	return debits
}

// refusals counts the keys that the ledger has refused for lack of balance. The real ledger keeps a row for each.
func (l ledger) refusals() (n int) {
	for _, d := range l.Decisions() {
		if d.Refusal == accountapi.InsufficientBalance {
			n++
		}
	}
	return n
}

// defects describes the calls that no correct collector makes.
func (l ledger) defects() []string {
	defects := l.Misuses()
	for _, d := range l.Decisions() {
		if m := d.Movement; m.Kind != accountapi.KindFee || m.Counterparty != "" {
			defects = append(defects, fmt.Sprintf("no debit of a fee: %+v", m))
		}
	}
	return defects
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
