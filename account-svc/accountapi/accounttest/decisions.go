package accounttest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
)

func rules(t *testing.T, b bank) {
	for i, row := range []struct {
		name     string
		movement accountapi.Movement
		refusal  *accountapi.Refusal
	}{
		{"debit of all there is", debit("", ana, bia, 10000), nil},
		{"debit of a cent too much", debit("", ana, bia, 10001), accountapi.InsufficientBalance},
		{"debit of nobody", debit("", nobody, bia, 1), accountapi.UnknownAccount},
		{"debit of a closed account", debit("", closed, bia, 1), accountapi.InactiveAccount},
		{"debit in favour of nobody", debit("", ana, nobody, 1), accountapi.UnknownAccount},
		{"debit in favour of a closed account", debit("", ana, closed, 1), accountapi.InactiveAccount},
		{"debit in favour of itself", debit("", ana, ana, 1), accountapi.SameAccount},
		{"debit of too much in favour of nobody", debit("", ana, nobody, 10001), accountapi.UnknownAccount},
		{"debit of a closed account in favour of nobody", debit("", closed, nobody, 1), accountapi.InactiveAccount},
		{"credit", credit("", ana, bia, 1), nil},
		{"credit from a closed account", credit("", closed, bia, 1), nil},
		{"credit to nobody", credit("", ana, nobody, 1), accountapi.UnknownAccount},
		{"credit to a closed account", credit("", ana, closed, 1), accountapi.InactiveAccount},
		{"credit to a full account", credit("", ana, full, 1), accountapi.BalanceLimit},
		{"refund", refund("", ana, bia, 1), nil},
		{"refund to nobody", refund("", nobody, bia, 1), accountapi.UnknownAccount},
		{"refund to a closed account", refund("", closed, bia, 1), nil},
		{"refund to a full account", refund("", full, bia, 1), nil},
		{"fee of all there is", fee("", ana, 10000), nil},
		{"fee of a cent too much", fee("", ana, 10001), accountapi.InsufficientBalance},
		{"fee of nobody", fee("", nobody, 1), accountapi.UnknownAccount},
		{"fee of a closed account", fee("", closed, 1), accountapi.InactiveAccount},
	} {
		t.Run(row.name, func(t *testing.T) {
			b.t = t
			suffix := fmt.Sprintf("%02d", i) // of the accounts of this row
			b.open(ana+suffix, 10000)
			b.open(bia+suffix, 0)
			b.open(closed+suffix, 0)
			b.Close(t, closed+suffix)
			b.open(full+suffix, accountapi.MaxBalance)
			m := row.movement
			m.TransferID = "t" + suffix
			m.RequestID = m.TransferID + m.RequestID
			m.AccountNumber += suffix
			if m.Counterparty != "" {
				m.Counterparty += suffix
			}
			want := map[string]money.Cents{ana + suffix: 10000, bia + suffix: 0, closed + suffix: 0, full + suffix: accountapi.MaxStanding}
			if row.refusal == nil && m.AccountNumber != full+suffix {
				want[m.AccountNumber] += map[string]money.Cents{accountapi.Credit: m.Amount, accountapi.Debit: -m.Amount}[m.Type]
			}
			for _, replayed := range []bool{false, true} {
				b.want(m, row.refusal, replayed)
				for number, balance := range want {
					b.wantBalance(number, balance)
				}
				if got := b.standing(m.AccountNumber, m.RequestID).Decided; len(got) != 1 {
					t.Errorf("decided: %q, want %s", got, m.RequestID)
				}
			}
		})
	}
}

func decisionsHold(t *testing.T, b bank) {
	b.open(ana, 100)
	b.open(bia, 0)
	b.open(closed, 0)
	b.Close(t, closed)
	tooMuch, paid := debit("t1", ana, bia, 101), debit("t2", ana, bia, 100)
	absent, inactive := debit("t3", ana, nobody, 1), credit("t4", ana, closed, 1)
	b.want(tooMuch, accountapi.InsufficientBalance, false)
	b.want(paid, nil, false)
	b.want(absent, accountapi.UnknownAccount, false)
	b.want(inactive, accountapi.InactiveAccount, false)
	b.Deposit(t, ana, 10000) // now there would be enough
	b.Open(t, nobody)        // now the account would exist
	for range 2 {
		b.want(tooMuch, accountapi.InsufficientBalance, true)
		b.want(paid, nil, true)
		b.want(absent, accountapi.UnknownAccount, true)
		b.want(inactive, accountapi.InactiveAccount, true)
		b.wantBalance(ana, 10000)
	}
	b.want(debit("t5", ana, bia, 10000), nil, false)
	b.Close(t, ana) // now the account is empty and closed
	b.want(paid, nil, true)
	b.wantBalance(ana, 0)
}

func keysHaveOnePayload(t *testing.T, b bank) {
	b.open(ana, 100)
	b.open(bia, 100)
	b.open(full, 0)
	done, refused := debit("t1", ana, bia, 60), debit("t2", ana, bia, 101)
	b.want(done, nil, false)
	b.want(refused, accountapi.InsufficientBalance, false)
	for _, first := range []accountapi.Movement{done, refused} {
		for name, change := range map[string]func(*accountapi.Movement){
			"account":      func(m *accountapi.Movement) { m.AccountNumber = full },
			"type":         func(m *accountapi.Movement) { m.Type = accountapi.Credit },
			"kind":         func(m *accountapi.Movement) { m.Kind = accountapi.KindFee },
			"amount":       func(m *accountapi.Movement) { m.Amount-- },
			"counterparty": func(m *accountapi.Movement) { m.Counterparty = full },
			"transfer":     func(m *accountapi.Movement) { m.TransferID = "other" },
		} {
			other := with(first, change)
			if outcome, err := b.Move(t.Context(), other); err == nil {
				t.Errorf("%s with another %s: %+v", first.RequestID, name, outcome)
			}
			results, err := b.send(other)
			if err != nil || len(results) != 1 || results[0].Status != accountapi.StatusRejected || results[0].Type != fault.TypeIdempotencyConflict {
				t.Errorf("%s with another %s: %+v, %v", first.RequestID, name, results, err)
			}
		}
	}
	// What does not belong to the payload may change.
	for _, change := range []func(*accountapi.Movement){
		func(m *accountapi.Movement) { m.Description = "other" },
		func(m *accountapi.Movement) { m.TransferRequestID, m.TransferFingerprint = "r", "f" },
	} {
		b.want(with(done, change), nil, true)
		b.want(with(refused, change), accountapi.InsufficientBalance, true)
	}
	b.wantBalance(ana, 40)
	b.wantBalance(bia, 100)
	b.wantBalance(full, 0)
}

func malformed(t *testing.T, b bank) {
	b.open(ana, 100)
	b.open(bia, 100)
	good := debit("t1", ana, bia, 1)
	changes := []func(*accountapi.Movement){
		func(m *accountapi.Movement) { m.RequestID = "" },
		func(m *accountapi.Movement) { m.RequestID = strings.Repeat("k", 256) },
		func(m *accountapi.Movement) { m.Amount = 0 },
		func(m *accountapi.Movement) { m.Amount = -1 },
		func(m *accountapi.Movement) { m.Type = "X" },
		func(m *accountapi.Movement) { m.Kind = "gift" },
		func(m *accountapi.Movement) { m.Kind, m.Type = "deposit", accountapi.Credit },
		func(m *accountapi.Movement) { m.Kind, m.Type = "withdrawal", accountapi.Debit },
		func(m *accountapi.Movement) { m.Kind, m.Type = accountapi.KindFee, accountapi.Credit },
		func(m *accountapi.Movement) { m.Kind = accountapi.KindRefund },
		func(m *accountapi.Movement) { m.TransferID = "" },
		func(m *accountapi.Movement) { m.Counterparty = "" },
		func(m *accountapi.Movement) { m.Description = "\x00" },
	}
	for i, change := range changes {
		bad := with(good, change)
		if outcome, err := b.Move(t.Context(), bad); err == nil {
			t.Errorf("command %d: %+v", i, outcome)
		}
		results, err := b.send(bad)
		if err != nil || len(results) != 1 || results[0].Status != accountapi.StatusRejected || results[0].Type != fault.TypeInvalidArgument {
			t.Errorf("command %d: %+v, %v", i, results, err)
		}
	}
	if got := b.standing(ana, good.RequestID); got.Balance != 100 || len(got.Decided) != 0 {
		t.Errorf("after what is malformed: %+v", got)
	}
	b.want(good, nil, false)
}

func batches(t *testing.T, b bank) {
	b.open(ana, 100)
	b.open(bia, 0)
	results, err := b.send(
		debit("t1", ana, bia, 60), credit("t1", ana, bia, 60), // both legs
		debit("t2", ana, bia, 60), debit("t3", bia, ana, 60), credit("t3", bia, ana, 60), debit("t4", ana, bia, 100), // each sees those before it
		debit("t1", ana, bia, 60), debit("t2", ana, bia, 60), debit("t1", ana, bia, 61), debit("t5", ana, nobody, 1), debit("t6", ana, bia, 0),
	)
	if err != nil {
		t.Fatal(err)
	}
	applied := accountapi.MovementResult{Status: accountapi.StatusApplied}
	refused := func(r *accountapi.Refusal, replayed bool) accountapi.MovementResult {
		return accountapi.MovementResult{Status: accountapi.StatusRefused, Type: r.Type, Message: r.Message, Replayed: replayed}
	}
	rejected := func(typ string) accountapi.MovementResult {
		return accountapi.MovementResult{Status: accountapi.StatusRejected, Type: typ}
	}
	want := []accountapi.MovementResult{
		applied, applied,
		refused(accountapi.InsufficientBalance, false), applied, applied, applied,
		{Status: accountapi.StatusApplied, Replayed: true}, refused(accountapi.InsufficientBalance, true), rejected(fault.TypeIdempotencyConflict),
		refused(accountapi.UnknownAccount, false), rejected(fault.TypeInvalidArgument),
	}
	for i := range results {
		if results[i].Status == accountapi.StatusRejected {
			results[i].Message = "" // for people who look for a defect
		}
	}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	b.wantBalance(ana, 0)
	b.wantBalance(bia, 0)
}

func bounds(t *testing.T, b bank) {
	b.open(ana, 1000)
	for n, ok := range map[int]bool{0: false, 1: true, accountapi.MaxMovements: true, accountapi.MaxMovements + 1: false} {
		commands := make([]accountapi.Movement, n)
		for i := range commands {
			commands[i] = fee(fmt.Sprint("t", n, "-", i), ana, 1)
		}
		if results, err := b.send(commands...); ok != (err == nil) || ok && len(results) != n {
			t.Errorf("%d commands: %d results, %v", n, len(results), err)
		}
	}
	b.wantBalance(ana, 1000-1-accountapi.MaxMovements)

	// As many commands as fit a call, each with a Then, and all texts as long as they may be.
	long := func(start string) string { return start + strings.Repeat("\U0001F3E6", 255-len(start)) }
	longest := make([]accountapi.Movement, accountapi.MaxMovements)
	for i := range longest {
		longest[i] = pair(long(fmt.Sprint("t", i)), long("from"), long("to"), 1)
		for _, m := range []*accountapi.Movement{&longest[i], longest[i].Then} {
			m.RequestID = long(fmt.Sprint(i, m.Type))
			m.Description, m.TransferRequestID, m.TransferFingerprint = long(""), long(""), long("")
		}
	}
	results, err := b.send(longest...)
	if err != nil || len(results) != len(longest) {
		t.Fatalf("%d of the longest commands: %d results, %v", len(longest), len(results), err)
	}
	for i, r := range results {
		if r.Status != accountapi.StatusRefused || r.Type != accountapi.TypeUnknownAccount {
			t.Errorf("the longest command %d: %+v", i, r)
		}
	}

	for _, test := range []struct {
		accounts, keys int
		ok             bool
	}{
		{0, 0, false},
		{accountapi.MaxBalances, 1, true},
		{accountapi.MaxBalances + 1, 0, false},
		{1, accountapi.MaxBalanceKeys, true},
		{1, accountapi.MaxBalanceKeys + 1, false},
	} {
		questions := make([]accountapi.BalanceQuestion, test.accounts)
		for i := range questions {
			questions[i] = accountapi.BalanceQuestion{AccountNumber: ana, RequestIDs: make([]string, test.keys)}
		}
		if standings, err := b.Balances(t.Context(), questions); test.ok != (err == nil) || test.ok && len(standings) != test.accounts {
			t.Errorf("%d accounts with %d keys: %d standings, %v", test.accounts, test.keys, len(standings), err)
		}
	}
}

func refundAfterClosing(t *testing.T, b bank) {
	b.open(ana, 100)
	b.open(bia, 0)
	b.want(debit("t1", ana, bia, 100), nil, false)
	b.Close(t, ana)
	b.Close(t, bia)
	b.want(credit("t1", ana, bia, 100), accountapi.InactiveAccount, false)
	b.want(refund("t1", ana, bia, 100), nil, false)
	want := accountapi.Standing{AccountNumber: ana, Balance: 100, Decided: []string{"t1:debit", "t1:refund"}}
	if diff := cmp.Diff(want, b.standing(ana, "t1:debit", "t1:credit2", "t1:refund")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.want(debit("t2", ana, bia, 1), accountapi.InactiveAccount, false)
}
