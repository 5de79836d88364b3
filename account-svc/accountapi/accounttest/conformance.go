package accounttest

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/money"
)

// Bank is a ledger under test, with what its customers do.
type Bank interface {
	accountapi.Invoker // for the operations at accountapi.MovementsPath and accountapi.BalancesPath
	Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error)
	Balances(ctx context.Context, questions []accountapi.BalanceQuestion) ([]accountapi.Standing, error)

	Open(t *testing.T, number string)                        // a new account, whose balance is 0
	Deposit(t *testing.T, number string, amount money.Cents) // up to accountapi.MaxBalance
	Close(t *testing.T, number string)                       // the account has a balance of 0
}

// TestLedger tests that a ledger keeps the contract of accountapi. open returns an empty one.
func TestLedger(t *testing.T, open func(t *testing.T) Bank) {
	for name, test := range map[string]func(t *testing.T, b bank){
		"the rules decide":                     rules,
		"a decision holds for ever":            decisionsHold,
		"a key has one payload":                keysHaveOnePayload,
		"malformed commands are not decided":   malformed,
		"a batch is decided in its order":      batches,
		"calls are bounded":                    bounds,
		"what follows is decided as well":      thens,
		"what follows keeps its own key":       thenKeys,
		"a malformed Then is malformed":        malformedThens,
		"pairs at once lose no money":          pairsAtOnce,
		"balances tell what accounts have":     balances,
		"a key decides once, however often":    sameKeyAtOnce,
		"movements at once lose no money":      movementsAtOnce,
		"balances include decided movements":   balancesIncludeDecided,
		"a closed account still gets a refund": refundAfterClosing,
	} {
		t.Run(name, func(t *testing.T) { test(t, bank{open(t), t}) })
	}
}

// bank has helpers for tests.
type bank struct {
	Bank
	t *testing.T
}

// open opens an account with a balance.
func (b bank) open(number string, balance money.Cents) {
	b.t.Helper()
	b.Open(b.t, number)
	if balance > 0 {
		b.Deposit(b.t, number, balance)
	}
}

// move sends m and wants an answer.
func (b bank) move(m accountapi.Movement) accountapi.Outcome {
	b.t.Helper()
	outcome, err := b.Move(b.t.Context(), m)
	if err != nil {
		b.t.Fatalf("%s: %v", m.RequestID, err)
	}
	return outcome
}

// want sends m and wants this answer.
func (b bank) want(m accountapi.Movement, refusal *accountapi.Refusal, replayed bool) {
	b.t.Helper()
	if diff := cmp.Diff(accountapi.Outcome{Refusal: refusal, Replayed: replayed}, b.move(m)); diff != "" {
		b.t.Errorf("%s (-want +got):\n%s", m.RequestID, diff)
	}
}

// send sends commands in one call.
func (b bank) send(commands ...accountapi.Movement) ([]accountapi.MovementResult, error) {
	var out accountapi.MovementResults
	err := b.Invoke(b.t.Context(), accountapi.AppID, accountapi.MovementsPath, accountapi.Movements{Commands: commands}, &out)
	return out.Results, err
}

// standing returns what the ledger says of one account.
func (b bank) standing(number string, requestIDs ...string) accountapi.Standing {
	b.t.Helper()
	standings, err := b.Balances(b.t.Context(), []accountapi.BalanceQuestion{{AccountNumber: number, RequestIDs: requestIDs}})
	if err != nil || len(standings) != 1 {
		b.t.Fatalf("balance of %s: %+v, %v", number, standings, err)
	}
	return standings[0]
}

func (b bank) wantBalance(number string, want money.Cents) {
	b.t.Helper()
	if got := b.standing(number).Balance; got != want {
		b.t.Errorf("account %s has %s, want %s", number, got, want)
	}
}

// debit, credit, refund and fee are the movements that services send.
func debit(transferID, from, to string, amount money.Cents) accountapi.Movement {
	return accountapi.Movement{
		RequestID: transferID + ":debit", AccountNumber: from, Type: accountapi.Debit, Kind: accountapi.KindTransfer, Amount: amount,
		TransferID: transferID, Counterparty: to,
	}
}

func credit(transferID, from, to string, amount money.Cents) accountapi.Movement {
	return accountapi.Movement{
		RequestID: transferID + ":credit", AccountNumber: to, Type: accountapi.Credit, Kind: accountapi.KindTransfer, Amount: amount,
		TransferID: transferID, Counterparty: from,
	}
}

func refund(transferID, from, to string, amount money.Cents) accountapi.Movement {
	return accountapi.Movement{
		RequestID: transferID + ":refund", AccountNumber: from, Type: accountapi.Credit, Kind: accountapi.KindRefund, Amount: amount,
		TransferID: transferID, Counterparty: to,
	}
}

func fee(transferID, account string, amount money.Cents) accountapi.Movement {
	return accountapi.Movement{
		RequestID: transferID + ":fee", AccountNumber: account, Type: accountapi.Debit, Kind: accountapi.KindFee, Amount: amount,
		TransferID: transferID,
	}
}

func with(m accountapi.Movement, change func(*accountapi.Movement)) accountapi.Movement {
	change(&m)
	return m
}

// The accounts of a row of rules. They have the balances 100.00, 0, 0 and accountapi.MaxBalance. Nobody is a number without an
// account.
const (
	ana    = "11"
	bia    = "22"
	closed = "33"
	full   = "44"
	nobody = "55"
)

// pair is the debit of a transfer with its credit.
func pair(transferID, from, to string, amount money.Cents) accountapi.Movement {
	return then(debit(transferID, from, to, amount), credit(transferID, from, to, amount))
}

func then(m, next accountapi.Movement) accountapi.Movement {
	m.Then = &next
	return m
}

// wantBoth sends m and wants these answers to it and to its Then. If second is nil, the Then must be left undecided.
func (b bank) wantBoth(m accountapi.Movement, first accountapi.Outcome, second *accountapi.Outcome) {
	b.t.Helper()
	first.Then = second
	if diff := cmp.Diff(first, b.move(m)); diff != "" {
		b.t.Errorf("%s (-want +got):\n%s", m.RequestID, diff)
	}
}

// wantUndecided wants that the ledger has decided on none of the request ids.
func (b bank) wantUndecided(requestIDs ...string) {
	b.t.Helper()
	if got := b.standing(nobody, requestIDs...).Decided; len(got) > 0 {
		b.t.Errorf("decided: %q", got)
	}
}
