package storetest

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
)

func customers(t *testing.T, s Store) {
	r := register(t, s, "11")
	for name, find := range map[string]func() (customer.Customer, error){
		"by CPF": func() (customer.Customer, error) { return s.ByCPF(t.Context(), r.CPFHash) },
		"by id":  func() (customer.Customer, error) { return s.ByID(t.Context(), r.AccountID) },
	} {
		if got, err := find(); err != nil || got != r.Customer {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := s.ByCPF(t.Context(), "other"); !errors.Is(err, customer.ErrUnknown) {
		t.Errorf("unknown CPF: %v", err)
	}
	if _, err := s.ByID(t.Context(), "other"); !errors.Is(err, customer.ErrUnknown) {
		t.Errorf("unknown id: %v", err)
	}
	again := r
	again.AccountID, again.Number = "id-12", "12"
	if err := s.Register(t.Context(), again); !errors.Is(err, customer.ErrCPFTaken) {
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
	if err := s.Register(t.Context(), other); !errors.Is(err, customer.ErrNumberTaken) {
		t.Errorf("taken number: %v", err)
	}
	if _, err := s.ByCPF(t.Context(), "cpf-other"); !errors.Is(err, customer.ErrUnknown) {
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
	if results[0].Refusal != accountapi.InactiveAccount {
		t.Errorf("deposit: %+v", results[0])
	}
}

// An account with money cannot be closed. A refund that comes after the closing is kept, and the account stays closed.
func closingKeepsNoMoney(t *testing.T, s Store) {
	r := register(t, s, "11")
	register(t, s, "22")
	apply(t, s, cash("in", "11", ledger.Credit, 40))
	if err := s.Deactivate(t.Context(), r.AccountID, time.Now()); !errors.Is(err, customer.ErrBalanceNotZero) {
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
	if err := s.Deactivate(t.Context(), "nobody", time.Now()); !errors.Is(err, customer.ErrUnknown) {
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
			if credit, err = ledger.ApplyOne(t.Context(), books[i%2], cash("in "+number, number, ledger.Credit, 100)); err != nil {
				t.Error(err)
			}
		})
		closed := closing == nil
		if !closed && !errors.Is(closing, customer.ErrBalanceNotZero) {
			t.Fatal(closing)
		}
		if refused := credit.Refusal != nil; closed != refused {
			t.Errorf("account %s: closed is %t, the credit %+v", number, closed, credit)
		}
	}
}

func reopening(t *testing.T, s Store) {
	r := register(t, s, "11")
	register(t, s, "22")
	reopen := func(number string) (customer.Reopened, error) {
		return s.Reopen(t.Context(), customer.Reopening{Number: number, Reason: "a refund came", At: time.Now()})
	}
	if _, err := reopen("404"); !errors.Is(err, customer.ErrUnknown) {
		t.Errorf("unknown number: %v", err)
	}
	if _, err := reopen("11"); err != customer.ErrNotClosed { //nolint:errorlint // not wrapped: operators read it
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
		if err != nil || got != (customer.Reopened{AccountID: r.AccountID, ClosedAt: closed.UTC(), Balance: 40}) {
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
		} else if !errors.Is(err, customer.ErrNotClosed) {
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
	var want []customer.Closing
	for _, c := range []customer.Closing{
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
		after customer.Closing
		limit int
		want  []customer.Closing
	}{
		"all":                            {customer.Closing{}, 9, want},
		"a page":                         {customer.Closing{}, 2, want[:2]},
		"the next":                       {want[1], 2, want[2:4]},
		"the last":                       {want[3], 2, want[4:]},
		"none":                           {want[4], 2, nil},
		"since a time":                   {customer.Closing{At: at(0)}, 9, want[1:]},
		"since a microsecond afterwards": {customer.Closing{At: at(0).Add(time.Microsecond)}, 9, want[4:]},
	} {
		if got, err := s.Closed(t.Context(), test.after, test.limit); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, test.want)
		}
	}
	if _, err := s.Reopen(t.Context(), customer.Reopening{Number: "2", Reason: "a refund came", At: at(2)}); err != nil {
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
