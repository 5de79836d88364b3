package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/money"
)

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
	register(t, s, "22")
	apply(t, s, cash("a", "11", ledger.Credit, 1), cash("b", "11", ledger.Credit, 2), cash("other", "22", ledger.Credit, 9), cash("c", "11", ledger.Credit, 3))
	for name, test := range map[string]struct {
		filter ledger.Filter
		want   []money.Cents
	}{
		"everything":     {ledger.Filter{}, []money.Cents{3, 2, 1}},
		"oldest first":   {ledger.Filter{OldestFirst: true}, []money.Cents{1, 2, 3}},
		"before":         {ledger.Filter{Before: 3}, []money.Cents{2, 1}},
		"after":          {ledger.Filter{After: 1}, []money.Cents{3, 2}},
		"both":           {ledger.Filter{After: 1, Before: 3}, []money.Cents{2}},
		"after the last": {ledger.Filter{After: 3, OldestFirst: true}, nil},
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
	apply(t, s, cash("d", "11", ledger.Debit, 6))
	if err := s.Deactivate(t.Context(), "id-11", time.Now()); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Statement(t.Context(), "id-11", ledger.Filter{}, 10); err != nil || len(got) != 0 {
		t.Errorf("a closed account: %v, %v", got, err)
	}
}

// applyAt applies a credit of 1 whose movement has a time of the caller's choice.
func applyAt(t *testing.T, s Store, key string, at time.Time) {
	t.Helper()
	command := cash(key, "11", ledger.Credit, 1)
	err := s.Apply(t.Context(), []ledger.Command{command}, func(state ledger.State) ledger.Effects { return credit(state, key, at) })
	if err != nil {
		t.Fatal(err)
	}
}

// credit is the effects of a credit of 1 that was decided at a time.
func credit(state ledger.State, key string, at time.Time) ledger.Effects {
	a := state.Accounts["11"]
	a.Balance, a.Version = a.Balance+1, a.Version+1
	return ledger.Effects{
		Movements: []ledger.Movement{{
			ID: key, RequestKey: key, Fingerprint: "f", AccountID: a.ID, Seq: a.Version, Type: ledger.Credit, Amount: 1, Contra: ledger.Cash,
			Kind: ledger.Deposit, Description: "Depósito", BalanceAfter: a.Balance, CreatedAt: at,
		}},
		Accounts: []ledger.Change{{Account: *a, Was: a.Version - 1}},
	}
}

func marks(t *testing.T, s Store) {
	register(t, s, "11")
	begin := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	after := func(seconds int) *time.Time { return new(begin.Add(time.Duration(seconds) * time.Second)) }
	want := func(what string, at *time.Time, seq int64) {
		t.Helper()
		if got, err := s.Mark(t.Context(), "id-11", at); err != nil || got != (ledger.Mark{Seq: seq, Balance: money.Cents(seq)}) {
			t.Errorf("%s: %+v, %v, want %d", what, got, err, seq)
		}
	}
	want("no movement", after(0), 0)
	want("the end of no movement", nil, 0)
	for i := range 20 {
		applyAt(t, s, fmt.Sprint("m", i), *after(10 * i))
		for j := range i + 1 {
			want(fmt.Sprint("before movement ", j), after(10*j), int64(j))
			want(fmt.Sprint("after movement ", j), after(10*j+1), int64(j+1))
		}
		want("the end", nil, int64(i+1))
	}
	want("long ago", new(time.Time{}), 0)
	if got, err := s.Mark(t.Context(), "nobody", nil); err != nil || got != (ledger.Mark{}) {
		t.Errorf("nobody: %+v, %v", got, err)
	}

	// Two replicas' clocks differ by 3 s. The marks are in order all the same, and later movements do not move them.
	for i, at := range []int{200, 203, 201, 204, 202, 203, 205} {
		applyAt(t, s, fmt.Sprint("skewed", i), *after(at))
	}
	among := func() (marks []int64) {
		for second := 198; second <= 206; second++ {
			m, err := s.Mark(t.Context(), "id-11", after(second))
			if err != nil {
				t.Fatal(err)
			}
			if m.Balance != money.Cents(m.Seq) || m.Seq < 20 || m.Seq > 27 {
				t.Errorf("second %d: %+v", second, m)
			}
			marks = append(marks, m.Seq)
		}
		return marks
	}
	first := among()
	if !slices.IsSorted(first) || first[0] != 20 || first[len(first)-1] != 27 {
		t.Errorf("the marks are %v", first)
	}
	for i := range 40 {
		applyAt(t, s, fmt.Sprint("later", i), *after(300 + i))
	}
	if again := among(); !slices.Equal(again, first) {
		t.Errorf("the marks were %v, and with later movements %v", first, again)
	}
}

// lateMovement has a movement appear in a period that has ended: it was decided before the end, and is committed after it. The
// period says meanwhile that it is not complete, and its balances fit its movements all the time.
func lateMovement(t *testing.T, s Store) {
	register(t, s, "11")
	apply(t, s, cash("before", "11", ledger.Credit, 5))
	decided, commit, done := make(chan time.Time), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.Apply(context.WithoutCancel(t.Context()), []ledger.Command{cash("late", "11", ledger.Credit, 1)}, func(state ledger.State) ledger.Effects {
			now := time.Now()
			effects := credit(state, "late", now)
			decided <- now
			<-commit
			return effects
		})
	}()
	made := <-decided
	end := made.Add(time.Millisecond)
	time.Sleep(time.Until(end))
	book := ledger.New(s)
	ask := func(to time.Time, movements int64, balance money.Cents) ledger.Period {
		t.Helper()
		p, err := book.Period(t.Context(), "id-11", nil, &to)
		if err != nil || p.Movements() != movements || p.Closing.Balance != balance {
			t.Errorf("%+v, %v; want %d movements and a balance of %s", p, err, movements, balance)
		}
		return p
	}
	if p := ask(end, 1, 5); !p.CompleteUntil.Before(made) {
		t.Errorf("a movement of %s appears in a period that was complete until %s", made, p.CompleteUntil)
	}
	close(commit)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	ask(end, 2, 6)
	long := time.Now().Add(-time.Hour)
	if p := ask(long, 0, 0); !p.CompleteUntil.Equal(long) {
		t.Errorf("a period that ended at %s is complete until %s", long, p.CompleteUntil)
	}
}

func owners(t *testing.T, s Store) {
	register(t, s, "11")
	register(t, s, "22")
	register(t, s, "33")
	if err := s.Deactivate(t.Context(), "id-22", time.Now()); err != nil {
		t.Fatal(err)
	}
	got, err := s.Owners(t.Context(), []string{"11", "22", "unknown"})
	if want := map[string]string{"11": "Ana 11", "22": "Ana 22"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := s.Owners(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("nobody: %v, %v", got, err)
	}
}

// walks reads periods that are longer than a page, with a movement that comes meanwhile.
func walks(t *testing.T, s Store) {
	const n = 2500
	register(t, s, "11")
	register(t, s, "22")
	var commands []ledger.Command
	for i := range n {
		commands = append(commands, cash(fmt.Sprint("a", i), "11", ledger.Credit, money.Cents(i+1)))
	}
	apply(t, s, commands...)
	apply(t, s, pair("t1", "11", "22", 7))
	book := ledger.New(s)
	period, err := book.Period(t.Context(), "id-11", nil, nil)
	if err != nil || period.Movements() != n+1 || period.Opening != (ledger.Mark{}) || period.Closing.Balance != n*(n+1)/2-7 {
		t.Fatalf("%+v, %v", period, err)
	}
	var last ledger.Movement
	err = ledger.Walk(t.Context(), book, "id-11", period, func(m ledger.Movement) error {
		if m.Seq != last.Seq+1 {
			t.Fatalf("movement %d follows %d", m.Seq, last.Seq)
		}
		if m.Seq == 1 {
			apply(t, s, cash("new", "11", ledger.Credit, 1))
		}
		last = m
		return nil
	})
	if err != nil || last.Seq != n+1 || last.Counterparty != "22" || last.CounterpartyName != "Ana 22" {
		t.Errorf("%+v, %v", last, err)
	}
	stop := errors.New("stop")
	if err := ledger.Walk(t.Context(), book, "id-11", period, func(ledger.Movement) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	beyond := period
	beyond.Closing.Seq += 2 // one more than there are
	visited := 0
	if err := ledger.Walk(t.Context(), book, "id-11", beyond, func(ledger.Movement) error { visited++; return nil }); err == nil || visited != n+2 {
		t.Errorf("%d movements of %d look like all", visited, beyond.Movements())
	}
	none, err := book.Period(t.Context(), "id-11", new(time.Now().Add(time.Hour)), new(time.Now().Add(-time.Hour)))
	if err != nil || none.Movements() != 0 || none.Opening != none.Closing {
		t.Errorf("a period that ends before it begins: %+v, %v", none, err)
	}
	apply(t, s, cash("out", "11", ledger.Debit, period.Closing.Balance+1))
	if err := s.Deactivate(t.Context(), "id-11", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := ledger.Walk(t.Context(), book, "id-11", period, func(ledger.Movement) error { return nil }); !errors.Is(err, ledger.ErrInactiveAccount) {
		t.Errorf("a closed account: %v", err)
	}
}
