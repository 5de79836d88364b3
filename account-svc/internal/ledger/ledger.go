// Package ledger keeps the customers' money: double entry by construction, immutable movements, and a definitive,
// durable answer to every command.
package ledger

import (
	"errors"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
)

// Type says in which direction a movement changes the customer's balance.
type Type string

// The types, as the API names them.
const (
	Credit Type = "C"
	Debit  Type = "D"
)

// Contra is the internal account on the other side of a movement. Its balance is derived from the movements, never
// stored, so that it is no hot row.
type Contra string

// The internal accounts.
const (
	Cash       Contra = "cash"        // money that enters or leaves the bank
	Transit    Contra = "transit"     // money between the two legs of a transfer
	FeeRevenue Contra = "fee-revenue" // the bank's income
)

// Kind says why money moved.
type Kind string

// The kinds.
const (
	Deposit    Kind = "deposit"
	Withdrawal Kind = "withdrawal"
	Transfer   Kind = "transfer"
	Fee        Kind = "fee"
	Refund     Kind = "refund"
)

// Errors of queries, the same as the refusals of commands.
var (
	ErrUnknownAccount  = accountapi.UnknownAccount.Fault()
	ErrInactiveAccount = accountapi.InactiveAccount.Fault()
)

// ErrMalformed rejects a command that no caller may send: a defect, not a business refusal, hence never recorded.
var ErrMalformed = fault.BadArgument("Comando de movimentação inválido.")

// MaxBalance is the highest balance, in cents, that a deposit or a transfer may lead to.
const MaxBalance = accountapi.MaxBalance

// MaxReturns is the highest sum of Account.Balance and Account.InTransit, in cents, that a deposit or a transfer may lead
// to. Refunds move money from InTransit to Balance, so no balance ever exceeds MaxReturns, however many refunds come. It is
// 90 times MaxBalance, which an int64 can hold. A sum over the whole bank may still exceed an int64.
//
// A completed transfer leaves its amount in InTransit. So an account that has sent about 90 quadrillion reais can receive
// no more deposits and transfers. That is some thousand times what all banks of the country hold.
const MaxReturns = 90 * MaxBalance

// Command asks for one movement.
type Command struct {
	RequestKey    string // unique in the whole ledger: scope and request id
	Fingerprint   string // of the payload; the same key with another one is refused
	AccountNumber string
	Type          Type
	Kind          Kind
	Amount        money.Cents // at least 1
	Counterparty  string      // account number of the other customer, if any
	TransferID    string      // of the transfer that it belongs to, if any
	Description   string      // "" for the kind's own

	// The id and the fingerprint of the customer's own request for the transfer, kept in case transfer-svc loses it; "" if
	// the caller sent none.
	TransferRequestID   string
	TransferFingerprint string

	// Then is decided right after this command, in the same transaction, if this one is applied, now or earlier. It is a
	// command of its own in all else, and has no Then itself.
	Then *Command
}

// Movement is one immutable row of the ledger.
type Movement struct {
	ID           string
	RequestKey   string
	Fingerprint  string
	AccountID    string
	Seq          int64 // 1, 2, 3, … per account
	Type         Type
	Amount       money.Cents
	Contra       Contra
	Kind         Kind
	Counterparty string
	TransferID   string
	Description  string
	BalanceAfter money.Cents
	CreatedAt    time.Time

	TransferRequestID, TransferFingerprint string // as in Command; Store.Statement leaves them out

	CounterpartyName string // of the other customer, if any; only Ledger.Statement fills it in
}

// Account is the part of an account that commands change. Version counts its movements.
type Account struct {
	ID      string
	Number  string
	Owner   string // the customer's name, which never changes; only Store.Balance fills it in, since commands do not need it
	Active  bool
	Balance money.Cents
	Version int64

	// InTransit is an upper bound, in cents, of what may still be refunded to the account: the debits of all its transfers,
	// less their refunds. It does not fall when a transfer completes, since the credit changes only the other account.
	InTransit money.Cents
}

// Decision is what became of an earlier command. Refusal is "" if the command was applied, and else the refusal's type.
type Decision struct {
	Fingerprint string
	Refusal     string
}

// Result answers one command: a definitive outcome or, if Err is not nil, none (malformed, or the key belongs to another
// payload). The zero value says that it is applied.
type Result struct {
	Refusal  *accountapi.Refusal // nil: applied
	Replayed bool                // decided by an earlier request with the same key
	Err      error
	Then     *Result // answers Command.Then; nil: not decided
}

func (r Result) applied() bool { return r.Refusal == nil && r.Err == nil }

// contra is the other side of each kind.
var contra = map[Kind]Contra{
	Deposit: Cash, Withdrawal: Cash, Transfer: Transit, Refund: Transit, Fee: FeeRevenue,
}

// directions are the types that a kind may have, with the description of each in the statement.
var directions = map[Kind]map[Type]string{
	Deposit:    {Credit: "Depósito"},
	Withdrawal: {Debit: "Saque"},
	Transfer:   {Debit: "Transferência enviada", Credit: "Transferência recebida"},
	Refund:     {Credit: "Estorno de transferência"},
	Fee:        {Debit: "Tarifa de transferência"},
}

// ErrOverflow is the failure of a credit after which a balance would exceed 64 bits. MaxReturns makes that impossible. If it
// happens all the same, only that command fails, and it is not refused for ever.
var ErrOverflow = fault.Away(errors.New("the balance would exceed 64 bits"))

func (c Command) wellFormed() bool {
	_, ok := directions[c.Kind][c.Type]
	moves := c.Kind == Transfer || c.Kind == Refund || c.Kind == Fee
	return ok && c.RequestKey != "" && c.Fingerprint != "" && c.Amount > 0 && moves == (c.TransferID != "") &&
		(c.Kind != Transfer || c.Counterparty != "") && (c.Then == nil || c.Then.Then == nil && c.Then.wellFormed())
}

// refuse returns the business rule that forbids c, or nil. It never refuses a refund to an existing account: the money has
// to go back where it came from, even if the account was closed meanwhile.
func (c Command) refuse(account, counterparty *Account) *accountapi.Refusal {
	switch {
	case account == nil:
		return accountapi.UnknownAccount
	case !account.Active && c.Kind != Refund:
		return accountapi.InactiveAccount
	case c.Type == Credit && c.Kind != Refund && (account.Balance > MaxBalance-c.Amount || account.InTransit > MaxReturns-account.Balance-c.Amount):
		return accountapi.BalanceLimit
	case c.Type == Credit:
		return nil
	case c.Kind == Transfer && counterparty == nil:
		return accountapi.UnknownAccount
	case c.Kind == Transfer && counterparty == account:
		return accountapi.SameAccount
	case c.Kind == Transfer && !counterparty.Active:
		return accountapi.InactiveAccount
	case account.Balance < c.Amount:
		return accountapi.InsufficientBalance
	default:
		return nil
	}
}
