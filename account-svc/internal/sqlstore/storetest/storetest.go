// Package storetest is the conformance suite that every store of account-svc passes.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/account"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
)

// Store is everything that account-svc needs of its store.
type Store interface {
	account.Store
	ledger.Store
	Verify(ctx context.Context, out io.Writer) error
}

// Run runs the suite on stores that open returns, each empty.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"customers":                   customers,
		"account number taken":        numberTaken,
		"deactivation":                deactivation,
		"closing keeps no money":      closingKeepsNoMoney,
		"credits while closing":       creditsWhileClosing,
		"reopening":                   reopening,
		"untouched accounts":          untouchedAccounts,
		"movements and balance":       movements,
		"a batch stands item by item": itemByItem,
		"keys decide once":            keysDecideOnce,
		"refusals are durable":        refusalsAreDurable,
		"nothing after an error":      nothingAfterAnError,
		"large batch":                 largeBatch,
		"statement pages":             statementPages,
		"statement filters":           statementFilters,
		"concurrent debits":           concurrentDebits,
		"opposite transfers":          oppositeTransfers,
		"standings":                   standings,
		"closed accounts":             closedAccounts,
		"concurrent same key":         concurrentSameKey,
		"money in transit":            moneyInTransit,
	} {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			test(t, store)
			if err := store.Verify(t.Context(), testWriter{t}); err != nil {
				t.Error(err)
			}
		})
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

func register(t *testing.T, s Store, number string) account.Registration {
	t.Helper()
	r := account.Registration{
		Customer:  account.Customer{AccountID: "id-" + number, Number: number, Name: "Ana " + number, Active: true, Untouched: true, PasswordHash: "hash"},
		CPFHash:   "cpf-" + number,
		CreatedAt: time.Now(),
	}
	if err := s.Register(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r
}

func customers(t *testing.T, s Store) {
	r := register(t, s, "11")
	for name, find := range map[string]func() (account.Customer, error){
		"by CPF": func() (account.Customer, error) { return s.ByCPF(t.Context(), r.CPFHash) },
		"by id":  func() (account.Customer, error) { return s.ByID(t.Context(), r.AccountID) },
	} {
		if got, err := find(); err != nil || got != r.Customer {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := s.ByCPF(t.Context(), "other"); !errors.Is(err, account.ErrUnknown) {
		t.Errorf("unknown CPF: %v", err)
	}
	if _, err := s.ByID(t.Context(), "other"); !errors.Is(err, account.ErrUnknown) {
		t.Errorf("unknown id: %v", err)
	}
	again := r
	again.AccountID, again.Number = "id-12", "12"
	if err := s.Register(t.Context(), again); !errors.Is(err, account.ErrCPFTaken) {
		t.Errorf("second registration: %v", err)
	}
	for number, want := range map[string]bool{"11": true, "12": false, "": false, "1' OR '1'='1": false} {
		if exists, err := s.Exists(t.Context(), number); err != nil || exists != want {
			t.Errorf("Exists(%q) = %v, %v", number, exists, err)
		}
	}
}

func numberTaken(t *testing.T, s Store) {
	r := register(t, s, "11")
	other := r
	other.AccountID, other.CPFHash = "id-other", "cpf-other"
	if err := s.Register(t.Context(), other); !errors.Is(err, account.ErrNumberTaken) {
		t.Errorf("taken number: %v", err)
	}
	if _, err := s.ByCPF(t.Context(), "cpf-other"); !errors.Is(err, account.ErrUnknown) {
		t.Errorf("half a registration is left: %v", err)
	}
}

func deactivation(t *testing.T, s Store) {
	r := register(t, s, "11")
	for range 2 {
		if err := s.Deactivate(t.Context(), r.AccountID, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.ByID(t.Context(), r.AccountID); err != nil || got.Active {
		t.Errorf("after deactivation: %+v, %v", got, err)
	}
	if a, err := s.Balance(t.Context(), r.AccountID); err != nil || a.Active {
		t.Errorf("after deactivation: %+v, %v", a, err)
	}
	results := apply(t, s, cash("k", "11", ledger.Credit, 100))
	if results[0].Refusal != ledger.ErrInactiveAccount {
		t.Errorf("deposit: %+v", results[0])
	}
}

// An account with money cannot be closed. A refund that comes after the closing is kept, and the account stays closed.
func closingKeepsNoMoney(t *testing.T, s Store) {
	r := register(t, s, "11")
	register(t, s, "22")
	apply(t, s, cash("in", "11", ledger.Credit, 40))
	if err := s.Deactivate(t.Context(), r.AccountID, time.Now()); !errors.Is(err, account.ErrBalanceNotZero) {
		t.Errorf("with a balance: %v", err)
	}
	if got, err := s.ByID(t.Context(), r.AccountID); err != nil || !got.Active {
		t.Errorf("refused, and closed all the same: %+v, %v", got, err)
	}
	apply(t, s, send("t", 40))
	if err := s.Deactivate(t.Context(), r.AccountID, time.Now()); err != nil {
		t.Fatal(err)
	}
	if r := apply(t, s, sendBack("t", 40))[0]; r != (ledger.Result{}) {
		t.Errorf("a refund after the closing: %+v", r)
	}
	if err := s.Deactivate(t.Context(), r.AccountID, time.Now()); err != nil {
		t.Errorf("closed again, with a refund on it: %v", err)
	}
	if got := balance(t, s, "11"); got != 40 {
		t.Errorf("balance %v", got)
	}
	if err := s.Deactivate(t.Context(), "nobody", time.Now()); !errors.Is(err, account.ErrUnknown) {
		t.Errorf("an account that is none: %v", err)
	}
}

// A credit and a closing come at the same time. Either the closing sees the credit and is refused, or the credit finds the
// account closed and is refused. If both succeeded, the owner could not reach the money.
func creditsWhileClosing(t *testing.T, s Store) {
	books := replicas(t, s)
	for i := range 20 {
		number := strconv.Itoa(100 + i)
		r := register(t, s, number)
		var closing error
		var credit ledger.Result
		parallel(2, func(who int) {
			if who == 0 {
				closing = s.Deactivate(t.Context(), r.AccountID, time.Now())
				return
			}
			var err error
			if credit, err = books[i%2].ApplyOne(t.Context(), cash("in "+number, number, ledger.Credit, 100)); err != nil {
				t.Error(err)
			}
		})
		closed := closing == nil
		if !closed && !errors.Is(closing, account.ErrBalanceNotZero) {
			t.Fatal(closing)
		}
		if refused := credit.Refusal != nil; closed != refused {
			t.Errorf("account %s: closed is %t, the credit %+v", number, closed, credit)
		}
	}
}

// send is the debit of a transfer from account 11 to account 22; sendBack is its refund.
func send(transfer string, amount money.Cents) ledger.Command {
	return ledger.Command{
		RequestKey: transfer + ":debit", Fingerprint: "f", AccountNumber: "11", Type: ledger.Debit, Kind: ledger.Transfer,
		Amount: amount, Counterparty: "22", TransferID: transfer,
	}
}

func sendBack(transfer string, amount money.Cents) ledger.Command {
	return ledger.Command{
		RequestKey: transfer + ":refund", Fingerprint: "f", AccountNumber: "11", Type: ledger.Credit, Kind: ledger.Refund,
		Amount: amount, Counterparty: "22", TransferID: transfer,
	}
}

func reopening(t *testing.T, s Store) {
	r := register(t, s, "11")
	register(t, s, "22")
	reopen := func(number string) (account.Reopened, error) {
		return s.Reopen(t.Context(), account.Reopening{Number: number, Reason: "a refund came", At: time.Now()})
	}
	if _, err := reopen("404"); !errors.Is(err, account.ErrUnknown) {
		t.Errorf("unknown number: %v", err)
	}
	if _, err := reopen("11"); err != account.ErrNotClosed { //nolint:errorlint // not wrapped: operators read it
		t.Errorf("active account: %v", err)
	}
	for n := range 2 { // it may be closed and reopened again
		transfer := "t" + strconv.Itoa(n)
		apply(t, s, cash("in "+transfer, "11", ledger.Credit, 40), send(transfer, 40))
		closed := time.Now().Truncate(time.Microsecond)
		if err := s.Deactivate(t.Context(), r.AccountID, closed); err != nil {
			t.Fatal(err)
		}
		apply(t, s, sendBack(transfer, 40))
		got, err := reopen("11")
		if err != nil || got != (account.Reopened{AccountID: r.AccountID, ClosedAt: closed.UTC(), Balance: 40}) {
			t.Fatalf("reopened: %+v, %v", got, err)
		}
		if c, err := s.ByID(t.Context(), r.AccountID); err != nil || !c.Active {
			t.Errorf("after reopening: %+v, %v", c, err)
		}
		if r := apply(t, s, cash("out "+transfer, "11", ledger.Debit, 40))[0]; r != (ledger.Result{}) {
			t.Errorf("withdrawal after reopening: %+v", r)
		}
	}

	if err := s.Deactivate(t.Context(), r.AccountID, time.Now()); err != nil {
		t.Fatal(err)
	}
	errs := make([]error, 8)
	parallel(len(errs), func(i int) { _, errs[i] = reopen("11") })
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
		} else if !errors.Is(err, account.ErrNotClosed) {
			t.Error(err)
		}
	}
	if done != 1 {
		t.Errorf("%d operators have reopened it at once", done)
	}
}

// Closed returns closed accounts in the order of their closing, a page at a time. It leaves out accounts that were reopened.
func closedAccounts(t *testing.T, s Store) {
	began := time.Now().Truncate(time.Microsecond).UTC()
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	var want []account.Closing
	for _, c := range []account.Closing{
		{AccountID: "id-3", At: at(-1)}, {AccountID: "id-1", At: at(0)}, {AccountID: "id-2", At: at(0)},
		{AccountID: "id-5", At: at(0)}, {AccountID: "id-4", At: at(1)},
	} {
		register(t, s, strings.TrimPrefix(c.AccountID, "id-"))
		if err := s.Deactivate(t.Context(), c.AccountID, c.At); err != nil {
			t.Fatal(err)
		}
		want = append(want, c)
	}
	register(t, s, "6") // stays open
	for name, test := range map[string]struct {
		after account.Closing
		limit int
		want  []account.Closing
	}{
		"all":                            {account.Closing{}, 9, want},
		"a page":                         {account.Closing{}, 2, want[:2]},
		"the next":                       {want[1], 2, want[2:4]},
		"the last":                       {want[3], 2, want[4:]},
		"none":                           {want[4], 2, nil},
		"since a time":                   {account.Closing{At: at(0)}, 9, want[1:]},
		"since a microsecond afterwards": {account.Closing{At: at(0).Add(time.Microsecond)}, 9, want[4:]},
	} {
		if got, err := s.Closed(t.Context(), test.after, test.limit); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, test.want)
		}
	}
	if _, err := s.Reopen(t.Context(), account.Reopening{Number: "2", Reason: "a refund came", At: at(2)}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Closed(t.Context(), want[1], 1); err != nil || len(got) != 1 || got[0] != want[3] {
		t.Errorf("with one reopened: %v, %v", got, err)
	}
}

// An account is untouched until its first movement or its closing. A refused command does not touch it.
func untouchedAccounts(t *testing.T, s Store) {
	for number, test := range map[string]struct {
		touch func(id string) error
		want  bool
	}{
		"11": {func(string) error { return nil }, true},
		"22": {func(string) error { apply(t, s, cash("refused", "22", ledger.Debit, 1)); return nil }, true},
		"33": {func(string) error { apply(t, s, cash("in", "33", ledger.Credit, 1)); return nil }, false},
		"44": {func(id string) error { return s.Deactivate(t.Context(), id, time.Now()) }, false},
	} {
		r := register(t, s, number)
		if err := test.touch(r.AccountID); err != nil {
			t.Fatal(err)
		}
		if c, err := s.ByCPF(t.Context(), r.CPFHash); err != nil || c.Untouched != test.want {
			t.Errorf("account %s: %+v, %v", number, c, err)
		}
	}
}

// cash is a deposit or a withdrawal.
func cash(key, number string, typ ledger.Type, amount money.Cents) ledger.Command {
	kind := ledger.Deposit
	if typ == ledger.Debit {
		kind = ledger.Withdrawal
	}
	return ledger.Command{RequestKey: key, Fingerprint: fmt.Sprint(number, typ, amount), AccountNumber: number, Type: typ, Kind: kind, Amount: amount}
}

// apply applies commands as one batch, through a ledger of its own.
func apply(t *testing.T, s Store, commands ...ledger.Command) []ledger.Result {
	t.Helper()
	book := ledger.New(s)
	defer book.Close()
	results, err := book.Apply(t.Context(), commands)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func balance(t *testing.T, s Store, number string) money.Cents {
	t.Helper()
	a, err := s.Balance(t.Context(), "id-"+number)
	if err != nil {
		t.Fatal(err)
	}
	return a.Balance
}

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
	want := []ledger.Result{{}, {Refusal: ledger.ErrInsufficientBalance}, {Refusal: ledger.ErrUnknownAccount}, {Err: ledger.ErrMalformed}, {}}
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
	if r := apply(t, s, withdrawal)[0]; r.Refusal != ledger.ErrInsufficientBalance || !r.Replayed {
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
			Refused:   map[string]ledger.Decision{"third": {Fingerprint: "f", Refusal: "INVALID_ACCOUNT"}},
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

func statementPages(t *testing.T, s Store) {
	const n = 57
	register(t, s, "11")
	register(t, s, "22")
	for i := range n {
		apply(t, s, cash(fmt.Sprint("a", i), "11", ledger.Credit, money.Cents(i+1)), cash(fmt.Sprint("b", i), "22", ledger.Credit, 1))
	}
	var filter ledger.Filter
	want := int64(n)
	for {
		page, err := s.Statement(t.Context(), "id-11", filter, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, m := range page {
			if m.Seq != want || m.AccountID != "id-11" {
				t.Fatalf("got movement %d of %s, want %d", m.Seq, m.AccountID, want)
			}
			want--
		}
		filter.Before = page[len(page)-1].Seq
		apply(t, s, cash("new"+strconv.FormatInt(want, 10), "11", ledger.Credit, 1)) // new rows do not shift the pages
	}
	if want != 0 {
		t.Errorf("the last %d movements are missing", want)
	}
}

func statementFilters(t *testing.T, s Store) {
	register(t, s, "11")
	apply(t, s, cash("a", "11", ledger.Credit, 1))
	time.Sleep(2 * time.Millisecond)
	apply(t, s, cash("b", "11", ledger.Credit, 2))
	all, err := s.Statement(t.Context(), "id-11", ledger.Filter{}, 10)
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	first, second := all[1].CreatedAt, all[0].CreatedAt
	for name, test := range map[string]struct {
		filter ledger.Filter
		want   []money.Cents
	}{
		"from is inclusive": {ledger.Filter{From: new(second)}, []money.Cents{2}},
		"to is exclusive":   {ledger.Filter{To: new(second)}, []money.Cents{1}},
		"both":              {ledger.Filter{From: new(first), To: new(second.Add(time.Microsecond))}, []money.Cents{2, 1}},
		"to the first day":  {ledger.Filter{To: new(time.Time{})}, nil},
		"nothing":           {ledger.Filter{From: new(second.Add(time.Microsecond))}, nil},
		"with a position":   {ledger.Filter{From: new(first), Before: 2}, []money.Cents{1}},
	} {
		got, err := s.Statement(t.Context(), "id-11", test.filter, 10)
		if err != nil {
			t.Fatal(err)
		}
		var amounts []money.Cents
		for _, m := range got {
			amounts = append(amounts, m.Amount)
		}
		if fmt.Sprint(amounts) != fmt.Sprint(test.want) {
			t.Errorf("%s: %v, want %v", name, amounts, test.want)
		}
	}
}

// parallel runs f(0) … f(n-1) at once.
func parallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// Two ledgers on one store stand for two replicas.
func replicas(t *testing.T, s Store) [2]*ledger.Ledger {
	books := [2]*ledger.Ledger{ledger.New(s), ledger.New(s)}
	t.Cleanup(func() { books[0].Close(); books[1].Close() })
	return books
}

func concurrentDebits(t *testing.T, s Store) {
	register(t, s, "11")
	apply(t, s, cash("money", "11", ledger.Credit, 1000))
	books := replicas(t, s)
	results := make([]ledger.Result, 100)
	parallel(len(results), func(i int) {
		var err error
		if results[i], err = books[i%2].ApplyOne(t.Context(), cash(fmt.Sprint("k", i), "11", ledger.Debit, 30)); err != nil {
			t.Error(err)
		}
	})
	applied := 0
	for _, r := range results {
		if r.Refusal == nil {
			applied++
		}
	}
	if got := balance(t, s, "11"); applied != 33 || got != 10 {
		t.Errorf("%d debits of 30 were applied to 1000, which leaves %v", applied, got)
	}
}

func oppositeTransfers(t *testing.T, s Store) {
	register(t, s, "11")
	register(t, s, "22")
	apply(t, s, cash("m1", "11", ledger.Credit, 500), cash("m2", "22", ledger.Credit, 500))
	books := replicas(t, s)
	parallel(60, func(i int) {
		from, to := "11", "22"
		if i%2 == 1 {
			from, to = to, from
		}
		id := fmt.Sprint("t", i)
		leg := ledger.Command{
			RequestKey: id + ":debit", Fingerprint: "f", AccountNumber: from, Type: ledger.Debit, Kind: ledger.Transfer,
			Amount: 100, Counterparty: to, TransferID: id,
		}
		r, err := books[i/2%2].ApplyOne(t.Context(), leg)
		if err != nil {
			t.Error(err)
		}
		if err != nil || r.Refusal != nil {
			return
		}
		leg.RequestKey, leg.AccountNumber, leg.Counterparty, leg.Type = id+":credit", to, from, ledger.Credit
		if r, err := books[i%2].ApplyOne(t.Context(), leg); err != nil || r.Refusal != nil {
			t.Error(r, err)
		}
	})
	if a, b := balance(t, s, "11"), balance(t, s, "22"); a+b != 1000 {
		t.Errorf("balances %v and %v", a, b)
	}
}

func concurrentSameKey(t *testing.T, s Store) {
	register(t, s, "11")
	books := replicas(t, s)
	var mu sync.Mutex
	fresh := 0
	parallel(100, func(i int) {
		r, err := books[i%2].ApplyOne(t.Context(), cash("k", "11", ledger.Credit, 7))
		if err != nil || r.Refusal != nil {
			t.Error(r, err)
		}
		if !r.Replayed {
			mu.Lock()
			fresh++
			mu.Unlock()
		}
	})
	if got := balance(t, s, "11"); got != 7 || fresh != 1 {
		t.Errorf("balance %v, %d answers claim to be the first", got, fresh)
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
	must := func(want *fault.Error, c ledger.Command) {
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
			must(ledger.ErrBalanceLimit, meanwhile)
		}
		must(ledger.ErrBalanceLimit, credit)
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
