package accountapi

import (
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
)

// Refusal is the ledger's definitive no to a command, by a rule of the business. It holds for ever under the command's
// request id.
type Refusal struct {
	Type    string // for programs, stable
	Message string // for customers, in Brazilian Portuguese
}

// Fault returns the refusal as the error of an HTTP answer, of kind Refused.
func (r Refusal) Fault() *fault.Error { return fault.New(fault.Refused, r.Type, r.Message) }

// The types of the refusals.
const (
	TypeUnknownAccount      = "INVALID_ACCOUNT"
	TypeInactiveAccount     = "INACTIVE_ACCOUNT"
	TypeInsufficientBalance = "INSUFFICIENT_BALANCE"
	TypeInvalidTransfer     = "INVALID_TRANSFER"
	TypeBalanceLimit        = fault.TypeInvalidValue
)

// The refusals. The ledger stores the type of each refused command for ever. So a type that was once in use stays here.
var (
	UnknownAccount      = declare(TypeUnknownAccount, "Conta não encontrada.")
	InactiveAccount     = declare(TypeInactiveAccount, "Conta inativa.")
	InsufficientBalance = declare(TypeInsufficientBalance, "Saldo insuficiente.")
	SameAccount         = declare(TypeInvalidTransfer, "A conta de destino deve ser diferente da conta de origem.")
	BalanceLimit        = declare(TypeBalanceLimit, "O valor excede o saldo máximo de uma conta.")
)

var refusals = map[string]*Refusal{}

// declare makes a refusal that RefusalOf finds. It panics if two refusals have the same type.
func declare(typ, message string) *Refusal {
	if refusals[typ] != nil {
		panic("two refusals of type " + typ)
	}
	r := &Refusal{Type: typ, Message: message}
	refusals[typ] = r
	return r
}

// MaxBalance is the highest balance, in cents, that a deposit or a transfer may lead to: 1,000,000,000,000,000.00. A refund
// may exceed it, since the money has to go back to where it came from.
const MaxBalance money.Cents = 100_000_000_000_000_000

// RefusalOf returns the refusal of that type, or nil if there is none.
func RefusalOf(typ string) *Refusal { return refusals[typ] }
