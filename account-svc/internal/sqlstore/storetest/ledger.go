package storetest

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
)

func movements(t *testing.T, s Store) {
	register(t, s, "11")
	if _, err := s.Balance(t.Context(), "nobody"); !errors.Is(err, ledger.ErrUnknownAccount) {
		t.Errorf("unknown account: %v", err)
	}
	command := ledger.Command{
		RequestKey: "chave || ção/€", Fingerprint: "f", AccountNumber: "11", Type: ledger.Debit, Kind: ledger.Fee,
		Amount: 12345, Counterparty: "22", TransferID: "t-1", Description: "Aluguel",
	}
	apply(t, s, cash("money", "11", ledger.Credit, 20000))
	before := time.Now()
	if r := apply(t, s, command)[0]; r != (ledger.Result{}) {
		t.Fatalf("result %+v", r)
	}
	got, err := s.Statement(t.Context(), "id-11", ledger.Filter{}, 10)
	if err != nil || len(got) != 2 {
		t.Fatalf("statement %v, %v", got, err)
	}
	m := got[0]
	if m.CreatedAt.Before(before.Truncate(time.Microsecond)) || m.CreatedAt.After(time.Now()) || m.CreatedAt.Location() != time.UTC {
		t.Errorf("created at %v", m.CreatedAt)
	}
	want := ledger.Movement{
		ID: m.ID, RequestKey: command.RequestKey, Fingerprint: "f", AccountID: "id-11", Seq: 2, Type: ledger.Debit, Amount: 12345,
		Contra: ledger.FeeRevenue, Kind: ledger.Fee, Counterparty: "22", TransferID: "t-1", Description: "Aluguel",
		BalanceAfter: 7655, CreatedAt: m.CreatedAt,
	}
	if m != want || m.ID == "" {
		t.Errorf("got  %+v\nwant %+v", m, want)
	}
	if a, err := s.Balance(t.Context(), "id-11"); err != nil || a != (ledger.Account{ID: "id-11", Number: "11", Owner: "Ana 11", Active: true, Balance: 7655, Version: 2}) {
		t.Errorf("account %+v, %v", a, err)
	}
}

func itemByItem(t *testing.T, s Store) {
	register(t, s, "11")
	results := apply(t, s,
		cash("a", "11", ledger.Credit, 1000), cash("b", "11", ledger.Debit, 1001), cash("c", "404", ledger.Credit, 1),
		cash("d", "11", ledger.Debit, 0), cash("e", "11", ledger.Debit, 400))
	want := []ledger.Result{{}, {Refusal: accountapi.InsufficientBalance}, {Refusal: accountapi.UnknownAccount}, {Err: ledger.ErrMalformed}, {}}
	for i := range want {
		if results[i] != want[i] {
			t.Errorf("item %d: %+v, want %+v", i, results[i], want[i])
		}
	}
	if got := balance(t, s, "11"); got != 600 {
		t.Errorf("balance %v", got)
	}
}

func keysDecideOnce(t *testing.T, s Store) {
	register(t, s, "11")
	deposit := cash("k", "11", ledger.Credit, 1000)
	if r := apply(t, s, deposit)[0]; r.Replayed {
		t.Errorf("first: %+v", r)
	}
	if r := apply(t, s, deposit)[0]; !r.Replayed || r.Err != nil || r.Refusal != nil {
		t.Errorf("again: %+v", r)
	}
	if r := apply(t, s, cash("k", "11", ledger.Credit, 1001))[0]; r.Err == nil {
		t.Errorf("other amount: %+v", r)
	}
	if got := balance(t, s, "11"); got != 1000 {
		t.Errorf("balance %v", got)
	}
}

func refusalsAreDurable(t *testing.T, s Store) {
	register(t, s, "11")
	withdrawal := cash("k", "11", ledger.Debit, 500)
	apply(t, s, withdrawal)
	apply(t, s, cash("money", "11", ledger.Credit, 1000))
	if r := apply(t, s, withdrawal)[0]; r.Refusal != accountapi.InsufficientBalance || !r.Replayed {
		t.Errorf("the same key after a deposit: %+v", r)
	}
	if got := balance(t, s, "11"); got != 1000 {
		t.Errorf("balance %v", got)
	}
}

// A transaction that fails, here because a movement's id is not unique, leaves nothing behind.
func nothingAfterAnError(t *testing.T, s Store) {
	register(t, s, "11")
	apply(t, s, cash("first", "11", ledger.Credit, 1000))
	commands := []ledger.Command{cash("second", "11", ledger.Credit, 1), cash("third", "404", ledger.Credit, 1)}
	err := s.Apply(t.Context(), commands, func(state ledger.State) ledger.Effects {
		a := *state.Accounts["11"]
		duplicate := ledger.Movement{
			ID: "same", RequestKey: "second", Fingerprint: "f", AccountID: a.ID, Seq: 2, Type: ledger.Credit, Amount: 1,
			Contra: ledger.Cash, Kind: ledger.Deposit, BalanceAfter: 1001,
		}
		twice := duplicate
		twice.RequestKey, twice.Seq = "second again", 3
		a.Balance, a.Version = 1001, 2
		return ledger.Effects{
			Movements: []ledger.Movement{duplicate, twice},
			Refused:   map[string]ledger.Decision{"third": {Fingerprint: "f", Refusal: accountapi.TypeUnknownAccount}},
			Accounts:  []ledger.Change{{Account: a, Was: 1}},
		}
	})
	if err == nil {
		t.Fatal("no error for two movements with one id")
	}
	for i, r := range apply(t, s, commands...) {
		if r.Replayed {
			t.Errorf("command %d was half written: %+v", i, r)
		}
	}
	if got := balance(t, s, "11"); got != 1001 {
		t.Errorf("balance %v", got)
	}
}

func largeBatch(t *testing.T, s Store) {
	const n = 5000
	register(t, s, "11")
	register(t, s, "22")
	var commands []ledger.Command
	for i := range n {
		commands = append(commands, cash(fmt.Sprint("k", i), []string{"11", "22"}[i%2], ledger.Credit, 1))
	}
	for range 2 {
		for i, r := range apply(t, s, commands...) {
			if r.Refusal != nil || r.Err != nil {
				t.Fatalf("item %d: %+v", i, r)
			}
		}
	}
	if a, b := balance(t, s, "11"), balance(t, s, "22"); a != n/2 || b != n/2 {
		t.Errorf("balances %v, %v", a, b)
	}
}

// Standings returns many accounts and keys at once, and none that does not exist.
func standings(t *testing.T, s Store) {
	register(t, s, "11")
	register(t, s, "22")
	closed := register(t, s, "33")
	apply(t, s, cash("applied", "11", ledger.Credit, 1000), cash("other", "11", ledger.Debit, 1), cash("refused", "22", ledger.Debit, 1))
	if err := s.Deactivate(t.Context(), closed.AccountID, time.Now()); err != nil {
		t.Fatal(err)
	}
	accounts, decided, err := s.Standings(t.Context(), []string{"11", "22", "33", "44", "", "11"}, []string{"applied", "refused", "undecided", "'", "applied"})
	if err != nil {
		t.Fatal(err)
	}
	wantAccounts := map[string]ledger.Account{
		"11": {ID: "id-11", Number: "11", Active: true, Balance: 999, Version: 2},
		"22": {ID: "id-22", Number: "22", Active: true},
		"33": {ID: "id-33", Number: "33"},
	}
	if !maps.Equal(accounts, wantAccounts) {
		t.Errorf("accounts %+v", accounts)
	}
	if !maps.Equal(decided, map[string]bool{"applied": true, "refused": true}) {
		t.Errorf("decided %v", decided)
	}
	if accounts, decided, err := s.Standings(t.Context(), nil, nil); err != nil || len(accounts)+len(decided) != 0 {
		t.Errorf("of nothing: %v, %v, %v", accounts, decided, err)
	}
}

// Refunds that may still come count against MaxReturns. So refunds cannot pile up beyond an int64, however often a customer
// sends everything to a full account and makes a new deposit before the refund.
func moneyInTransit(t *testing.T, s Store) {
	register(t, s, "11")
	register(t, s, "22")
	must := func(want *accountapi.Refusal, c ledger.Command) {
		t.Helper()
		if r := apply(t, s, c)[0]; r.Refusal != want || r.Err != nil {
			t.Fatalf("%s: %+v, want %v", c.RequestKey, r, want)
		}
	}
	must(nil, cash("full", "22", ledger.Credit, ledger.MaxBalance))
	must(nil, cash("first", "11", ledger.Credit, ledger.MaxBalance))
	held := ledger.MaxBalance
	for round := range 120 {
		transfer := "t" + strconv.Itoa(round)
		credit := send(transfer, held)
		credit.RequestKey, credit.AccountNumber, credit.Counterparty, credit.Type = transfer+":credit", "22", "11", ledger.Credit
		must(nil, send(transfer, held))
		meanwhile := cash("meanwhile "+transfer, "11", ledger.Credit, ledger.MaxBalance)
		gets := held <= ledger.MaxReturns-ledger.MaxBalance
		if gets {
			must(nil, meanwhile)
		} else {
			must(accountapi.BalanceLimit, meanwhile)
		}
		must(accountapi.BalanceLimit, credit)
		must(nil, sendBack(transfer, held))
		if gets {
			held += ledger.MaxBalance
		}
		if got := balance(t, s, "11"); got != held {
			t.Fatalf("balance %v after round %d, want %v", got, round, held)
		}
	}
	if held != ledger.MaxReturns {
		t.Errorf("after all rounds %v, want the limit", held)
	}
}
