package ledger

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// bank returns a state with an account of 100.00, another of 0.00, and an inactive one of 50.00.
func bank() State {
	return State{
		Accounts: map[string]*Account{
			"1": {ID: "id-1", Number: "1", Active: true, Balance: 10000, Version: 4},
			"2": {ID: "id-2", Number: "2", Active: true},
			"9": {ID: "id-9", Number: "9", Balance: 5000, Version: 1},
		},
		Decisions: map[string]Decision{},
	}
}

func TestDecideOne(t *testing.T) {
	deposit := Command{RequestKey: "k", Fingerprint: "f", AccountNumber: "1", Type: Credit, Kind: Deposit, Amount: 500}
	debit := Command{RequestKey: "k", Fingerprint: "f", AccountNumber: "1", Type: Debit, Kind: Transfer, Amount: 10000, Counterparty: "2", TransferID: "t"}
	with := func(c Command, change func(*Command)) Command { change(&c); return c }
	for name, test := range map[string]struct {
		command Command
		refusal *accountapi.Refusal
		err     error
		balance money.Cents // of the account afterwards, if applied
	}{
		"deposit":                        {command: deposit, balance: 10500},
		"withdrawal":                     {command: with(deposit, func(c *Command) { c.Kind, c.Type = Withdrawal, Debit }), balance: 9500},
		"debit of all there is":          {command: debit, balance: 0},
		"debit of a cent too much":       {command: with(debit, func(c *Command) { c.Amount++ }), refusal: accountapi.InsufficientBalance},
		"credit of a transfer":           {command: with(debit, func(c *Command) { c.Type = Credit }), balance: 20000},
		"fee":                            {command: Command{RequestKey: "k", Fingerprint: "f", AccountNumber: "1", Type: Debit, Kind: Fee, Amount: 200, TransferID: "t"}, balance: 9800},
		"unknown account":                {command: with(deposit, func(c *Command) { c.AccountNumber = "7" }), refusal: accountapi.UnknownAccount},
		"inactive account":               {command: with(deposit, func(c *Command) { c.AccountNumber = "9" }), refusal: accountapi.InactiveAccount},
		"refund to an inactive account":  {command: Command{RequestKey: "k", Fingerprint: "f", AccountNumber: "9", Type: Credit, Kind: Refund, Amount: 1, TransferID: "t"}, balance: 5001},
		"unknown counterparty":           {command: with(debit, func(c *Command) { c.Counterparty = "7" }), refusal: accountapi.UnknownAccount},
		"inactive counterparty":          {command: with(debit, func(c *Command) { c.Counterparty = "9" }), refusal: accountapi.InactiveAccount},
		"counterparty is the account":    {command: with(debit, func(c *Command) { c.Counterparty = "1" }), refusal: accountapi.SameAccount},
		"credit beyond the limit":        {command: with(deposit, func(c *Command) { c.Amount = MaxBalance - 9999 }), refusal: accountapi.BalanceLimit},
		"credit up to the limit":         {command: with(deposit, func(c *Command) { c.Amount = MaxBalance - 10000 }), balance: MaxBalance},
		"no amount":                      {command: with(deposit, func(c *Command) { c.Amount = 0 }), err: ErrMalformed},
		"negative amount":                {command: with(deposit, func(c *Command) { c.Amount = -1 }), err: ErrMalformed},
		"no key":                         {command: with(deposit, func(c *Command) { c.RequestKey = "" }), err: ErrMalformed},
		"debit called deposit":           {command: with(deposit, func(c *Command) { c.Type = Debit }), err: ErrMalformed},
		"credit called fee":              {command: with(deposit, func(c *Command) { c.Kind = Fee }), err: ErrMalformed},
		"transfer without counterparty":  {command: with(debit, func(c *Command) { c.Counterparty = "" }), err: ErrMalformed},
		"transfer without a transfer id": {command: with(debit, func(c *Command) { c.TransferID = "" }), err: ErrMalformed},
		"unknown kind":                   {command: with(deposit, func(c *Command) { c.Kind = "gift" }), err: ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			results, effects := decide(bank(), []Command{test.command}, noon)
			if got := results[0]; got.Refusal != test.refusal || got.Err != test.err || got.Replayed { //nolint:errorlint // the very values
				t.Fatalf("result %+v", got)
			}
			if test.refusal != nil || test.err != nil {
				if len(effects.Movements)+len(effects.Accounts) > 0 {
					t.Errorf("a refused command has effects: %+v", effects)
				}
				if recorded := len(effects.Refused) == 1; recorded != (test.refusal != nil) {
					t.Errorf("recorded refusals: %v", effects.Refused)
				}
				return
			}
			m, change := effects.Movements[0], effects.Accounts[0]
			if change.Balance != test.balance || m.BalanceAfter != test.balance || change.Version != change.Was+1 || m.Seq != change.Version {
				t.Errorf("movement %+v, change %+v, want balance %d", m, change, test.balance)
			}
			if m.Contra != contra[test.command.Kind] || m.Description == "" || !m.CreatedAt.Equal(noon) || m.ID == "" {
				t.Errorf("movement %+v", m)
			}
		})
	}
}

// A command after which a balance would exceed 64 bits fails, but is not refused for ever. The limits keep such balances
// from coming about.
func TestDecideDoesNotOverflow(t *testing.T) {
	state := bank()
	state.Accounts["1"].Balance = math.MaxInt64 - 5
	refund := Command{RequestKey: "k", Fingerprint: "f", AccountNumber: "1", Type: Credit, Kind: Refund, Amount: 6, TransferID: "t"}
	deposit := Command{RequestKey: "d", Fingerprint: "f", AccountNumber: "2", Type: Credit, Kind: Deposit, Amount: 6}
	results, effects := decide(state, []Command{refund, deposit}, noon)
	if !errors.Is(results[0].Err, ErrOverflow) || results[1] != (Result{}) || len(effects.Movements) != 1 || len(effects.Refused) != 0 {
		t.Errorf("%+v, %+v", results, effects)
	}
}

// In whatever order one customer's deposits, transfers, completions and refunds come, no refund fails, and the sum of
// Balance and InTransit stays within MaxReturns.
func TestRefundsNeverExceedTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := bank()
		account := state.Accounts["1"]
		account.InTransit = MaxReturns - 2*MaxBalance // by earlier transfers
		var out []Command                             // debits without an outcome
		steps := 0
		do := func(c Command) bool {
			c.Fingerprint = "f"
			results, _ := decide(state, []Command{c}, noon)
			if results[0].Err != nil {
				t.Fatalf("%+v: %v", c, results[0].Err)
			}
			return results[0].Refusal == nil
		}
		amount := func(most money.Cents) money.Cents {
			return rapid.SampledFrom([]money.Cents{most, most / 2, 1}).Draw(t, "amount")
		}
		t.Repeat(map[string]func(*rapid.T){
			"deposit": func(*rapid.T) {
				steps++
				do(Command{RequestKey: fmt.Sprint("d", steps), AccountNumber: "1", Type: Credit, Kind: Deposit, Amount: amount(MaxBalance)})
			},
			"send": func(*rapid.T) {
				steps++
				c := Command{
					RequestKey: fmt.Sprint("t", steps, ":debit"), TransferID: fmt.Sprint("t", steps), AccountNumber: "1", Counterparty: "2",
					Type: Debit, Kind: Transfer, Amount: max(1, amount(account.Balance)),
				}
				if do(c) {
					out = append(out, c)
				}
			},
			"end": func(*rapid.T) {
				if len(out) == 0 {
					return
				}
				c := out[0]
				out = out[1:]
				c.RequestKey, c.Type = c.TransferID+":credit", Credit
				c.AccountNumber, c.Counterparty = "2", "1"
				if do(c) {
					return
				}
				c.RequestKey, c.Kind, c.AccountNumber, c.Counterparty = c.TransferID+":refund", Refund, "1", "2"
				if !do(c) {
					t.Fatalf("a refund was refused: %+v", c)
				}
			},
			"": func(*rapid.T) {
				if account.Balance < 0 || account.InTransit < 0 || account.Balance > MaxReturns-account.InTransit {
					t.Fatalf("balance %d and in transit %d", account.Balance, account.InTransit)
				}
			},
		})
	})
}

func TestDecideSeesEarlierCommandsOfItsBatch(t *testing.T) {
	withdraw := func(key string, amount money.Cents) Command {
		return Command{RequestKey: key, Fingerprint: fmt.Sprint(amount), AccountNumber: "1", Type: Debit, Kind: Withdrawal, Amount: amount}
	}
	results, effects := decide(bank(), []Command{
		withdraw("a", 6000), withdraw("b", 6000), withdraw("a", 6000), withdraw("b", 6000), withdraw("a", 1), withdraw("c", 4000),
	}, noon)
	refusal := accountapi.InsufficientBalance
	want := []Result{
		{}, {Refusal: refusal},
		{Replayed: true}, {Refusal: refusal, Replayed: true}, {Err: fault.ErrKeyReused}, {},
	}
	if !slices.Equal(results, want) {
		t.Errorf("got  %+v\nwant %+v", results, want)
	}
	if len(effects.Movements) != 2 || len(effects.Accounts) != 1 || effects.Accounts[0].Balance != 0 {
		t.Errorf("effects %+v", effects)
	}
}

func TestDecideRepeatsRecordedDecisions(t *testing.T) {
	state := bank()
	state.Decisions["done"] = Decision{Fingerprint: "f"}
	state.Decisions["refused"] = Decision{Fingerprint: "f", Refusal: accountapi.TypeInsufficientBalance}
	command := func(key, fingerprint string) Command {
		return Command{RequestKey: key, Fingerprint: fingerprint, AccountNumber: "1", Type: Debit, Kind: Withdrawal, Amount: 1}
	}
	results, effects := decide(state, []Command{
		command("done", "f"), command("refused", "f"), command("done", "other"), command("refused", "other"),
	}, noon)
	if !results[0].Replayed || results[0].Refusal != nil || results[0].Err != nil {
		t.Errorf("done: %+v", results[0])
	}
	// The account has enough money now. The answer under this key stays a refusal.
	if !results[1].Replayed || results[1].Refusal != accountapi.InsufficientBalance {
		t.Errorf("refused: %+v", results[1])
	}
	for _, r := range results[2:] {
		if r.Err != error(fault.ErrKeyReused) { //nolint:errorlint // the very value
			t.Errorf("other payload: %+v", r)
		}
	}
	if len(effects.Movements)+len(effects.Accounts)+len(effects.Refused) > 0 {
		t.Errorf("effects %+v", effects)
	}
}

// A recorded refusal of a type that this version does not know, for instance from a newer version, is an error and not a
// success.
func TestUnknownRefusalIsAnError(t *testing.T) {
	state := bank()
	state.Decisions["k"] = Decision{Fingerprint: "f", Refusal: "FROM_THE_FUTURE"}
	results, effects := decide(state, []Command{
		{RequestKey: "k", Fingerprint: "f", AccountNumber: "1", Type: Debit, Kind: Withdrawal, Amount: 1},
	}, noon)
	if results[0].Err == nil || len(effects.Movements) > 0 {
		t.Errorf("%+v, %+v", results[0], effects)
	}
}

// For any commands in any batches: each balance is the sum of its movements and never negative, each key decides once, a Then
// is decided exactly if the command before it is applied, and both sides of the ledger sum to zero.
func TestDecideKeepsTheBooks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := bank()
		opening := map[string]money.Cents{}
		for _, a := range state.Accounts {
			opening[a.ID] = a.Balance
		}
		total := map[string]money.Cents{}
		decided := map[string]Result{}
		for _, commands := range rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(anyPair), 1, 8), 1, 8).Draw(t, "batches") {
			results, effects := decide(state, commands, noon)
			for i, c := range commands {
				checkOnce(t, decided, c, results[i])
				if then := results[i].Then; (then != nil) != (c.Then != nil && results[i].applied()) {
					t.Fatalf("%+v: %+v", c, results[i])
				} else if then != nil {
					checkOnce(t, decided, *c.Then, *then)
				}
			}
			for _, m := range effects.Movements {
				signed := m.Amount
				if m.Type == Debit {
					signed = -signed
				}
				total[m.AccountID] += signed
				total[string(m.Contra)] -= signed
			}
		}
		var sum money.Cents
		for _, a := range state.Accounts {
			if a.Balance < 0 || a.Balance != opening[a.ID]+total[a.ID] {
				t.Fatalf("account %s has %d, opening %d and movements %d", a.Number, a.Balance, opening[a.ID], total[a.ID])
			}
		}
		for _, v := range total {
			sum += v
		}
		if sum != 0 {
			t.Fatalf("the two sides differ by %d", sum)
		}
	})
}

func anyCommand(t *rapid.T) Command {
	c := Command{
		RequestKey:    rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h"}).Draw(t, "key"),
		AccountNumber: rapid.SampledFrom([]string{"1", "2", "7", "9"}).Draw(t, "account"),
		Type:          rapid.SampledFrom([]Type{Credit, Debit}).Draw(t, "type"),
		Kind:          rapid.SampledFrom([]Kind{Deposit, Withdrawal, Transfer, Refund, Fee}).Draw(t, "kind"),
		Amount:        money.Cents(rapid.Int64Range(-1, 20000).Draw(t, "amount")),
		Counterparty:  rapid.SampledFrom([]string{"", "1", "2", "7", "9"}).Draw(t, "counterparty"),
		TransferID:    rapid.SampledFrom([]string{"", "t"}).Draw(t, "transfer"),
	}
	c.Fingerprint = fmt.Sprint(c.AccountNumber, c.Type, c.Kind, c.Amount, c.Counterparty)
	return c
}

// anyPair returns a command that may have a Then.
func anyPair(t *rapid.T) Command {
	c := anyCommand(t)
	if rapid.Bool().Draw(t, "then") {
		c.Then = new(anyCommand(t))
	}
	return c
}

func checkOnce(t *rapid.T, decided map[string]Result, c Command, got Result) {
	if got.Err != nil {
		return
	}
	first, seen := decided[c.RequestKey]
	if got.Replayed != seen || (seen && first.Refusal != got.Refusal) {
		t.Fatalf("key %s: first %+v (seen %v), now %+v", c.RequestKey, first, seen, got)
	}
	decided[c.RequestKey] = got
}
