package accounttest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/accountapi/accounttest"
	"github.com/bankmore/bankmore/platform/money"
)

// fake is the fake as a bank.
type fake struct{ *accounttest.Ledger }

func (f fake) Open(_ *testing.T, number string) { f.Add(number, accounttest.Account{}) }

func (f fake) Deposit(_ *testing.T, number string, amount money.Cents) {
	f.Change(number, func(a *accounttest.Account) { a.Balance += amount })
}

func (f fake) Close(_ *testing.T, number string) {
	f.Change(number, func(a *accounttest.Account) { a.Inactive = true })
}

// called is the fake behind the real client.
type called struct {
	fake
	client *accountapi.Client
}

func (c called) Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error) {
	return c.client.Move(ctx, m)
}

func (c called) Balances(ctx context.Context, questions []accountapi.BalanceQuestion) ([]accountapi.Standing, error) {
	return c.client.Balances(ctx, questions)
}

func TestFakeLedger(t *testing.T) {
	accounttest.TestLedger(t, func(*testing.T) accounttest.Bank { return fake{accounttest.New(nil)} })
}

func TestFakeLedgerBehindTheClient(t *testing.T) {
	accounttest.TestLedger(t, func(t *testing.T) accounttest.Bank {
		f := fake{accounttest.New(nil)}
		client := accountapi.NewClient(f)
		t.Cleanup(client.Close)
		return called{f, client}
	})
}

func TestFaults(t *testing.T) {
	debit := accountapi.Movement{
		RequestID: "t:fee", AccountNumber: "11", Type: accountapi.Debit, Kind: accountapi.KindFee, Amount: 30, TransferID: "t",
	}
	for f, want := range map[accounttest.Fault]struct {
		err                error
		balance, delivered money.Cents // before and after Deliver
	}{
		accounttest.None:        {nil, 70, 70},
		accounttest.LostRequest: {accounttest.ErrUnknown, 100, 100},
		accounttest.LostAnswer:  {accounttest.ErrUnknown, 70, 70},
		accounttest.Late:        {accounttest.ErrUnknown, 100, 70},
		accounttest.Silence:     {context.DeadlineExceeded, 70, 70},
		accounttest.Rejected:    {accounttest.ErrUnknown, 100, 100},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := accounttest.New(map[string]accounttest.Account{"11": {Balance: 100}})
			l.OnMove(func(accountapi.Movement) accounttest.Fault { return f })
			l.OnBalances(func() accounttest.Fault { return f })
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := l.Move(ctx, debit); !errors.Is(err, want.err) {
				t.Errorf("%s: Move: %v, want %v", f, err, want.err)
			}
			ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := l.Balances(ctx, []accountapi.BalanceQuestion{{AccountNumber: "11"}}); !errors.Is(err, want.err) {
				t.Errorf("%s: Balances: %v, want %v", f, err, want.err)
			}
			if got := l.Balance("11"); got != want.balance {
				t.Errorf("%s: balance %s, want %s", f, got, want.balance)
			}
			l.Deliver()
			if got := l.Balance("11"); got != want.delivered {
				t.Errorf("%s: balance after late calls %s, want %s", f, got, want.delivered)
			}
			l.OnMove(nil)
			l.OnBalances(nil)
			outcome, err := l.Move(t.Context(), debit)
			if err != nil || outcome.Replayed != (want.delivered == 70) || l.Balance("11") != 70 {
				t.Errorf("%s: again: %+v, %v, balance %s", f, outcome, err, l.Balance("11"))
			}
			if calls := (accounttest.Calls{Moves: 2, Balances: 1, Accounts: 1}); l.Calls() != calls || len(l.Misuses()) != 0 {
				t.Errorf("%s: %+v, %q", f, l.Calls(), l.Misuses())
			}
		})
	}
}

// A fault befalls a movement together with its Then.
func TestFaultsBefallThen(t *testing.T) {
	for f, want := range map[accounttest.Fault]struct {
		err                error
		decided, delivered int // decisions before and after Deliver
	}{
		accounttest.None:        {nil, 2, 2},
		accounttest.LostRequest: {accounttest.ErrUnknown, 0, 0},
		accounttest.LostAnswer:  {accounttest.ErrUnknown, 2, 2},
		accounttest.Late:        {accounttest.ErrUnknown, 0, 2},
		accounttest.Silence:     {context.DeadlineExceeded, 2, 2},
		accounttest.Rejected:    {accounttest.ErrUnknown, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := accounttest.New(map[string]accounttest.Account{"11": {Balance: 100}, "22": {}})
			credit := accountapi.Movement{
				RequestID: "t:credit", AccountNumber: "22", Type: accountapi.Credit, Kind: accountapi.KindTransfer, Amount: 30,
				TransferID: "t", Counterparty: "11",
			}
			both := credit
			both.RequestID, both.AccountNumber, both.Counterparty, both.Type, both.Then = "t:debit", "11", "22", accountapi.Debit, &credit
			l.OnMove(func(accountapi.Movement) accounttest.Fault { return f })
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			outcome, err := l.Move(ctx, both)
			if !errors.Is(err, want.err) || (outcome.Then != nil) != (f == accounttest.None) {
				t.Errorf("%s: %+v, %v, want error %v", f, outcome, err, want.err)
			}
			if n := len(l.Decisions()); n != want.decided {
				t.Errorf("%s: %d decisions, want %d", f, n, want.decided)
			}
			l.Deliver()
			if n := len(l.Decisions()); n != want.delivered {
				t.Errorf("%s: %d decisions after late calls, want %d", f, n, want.delivered)
			}
			l.OnMove(nil)
			outcome, err = l.Move(t.Context(), both)
			if err != nil || outcome.Then == nil || outcome.Replayed != (want.delivered > 0) || outcome.Then.Replayed != outcome.Replayed {
				t.Errorf("%s: again: %+v, %+v, %v", f, outcome, outcome.Then, err)
			}
			if l.Balance("11") != 70 || l.Balance("22") != 30 || l.Calls().Moves != 2 || len(l.Misuses()) != 0 {
				t.Errorf("%s: balances %s and %s, %+v, %q", f, l.Balance("11"), l.Balance("22"), l.Calls(), l.Misuses())
			}
		})
	}
}
