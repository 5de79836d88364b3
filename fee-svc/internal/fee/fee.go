// Package fee charges one fee for each completed transfer. The service records the fee when it consumes the transfer's
// event. A collector debits it from the origin account afterwards.
package fee

import (
	"time"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
)

// Status is where a fee stands. Charged and Waived are final.
type Status string

// The statuses, as the API names them.
const (
	Pending Status = "PENDING" // to be collected, now or when the account has the money
	Charged Status = "CHARGED" // debited
	Waived  Status = "WAIVED"  // never to be debited, for the fee's Reason
)

// Reason says why a fee is waived or still pending. It is ReasonDisabled, or the type of the ledger's last refusal.
type Reason string

// The reasons that this package knows. The ledger may refuse for others. Any refusal but ReasonInsufficientBalance waives
// the fee.
const (
	ReasonNone                Reason = ""
	ReasonDisabled            Reason = "FEES_DISABLED"
	ReasonInsufficientBalance Reason = accountapi.TypeInsufficientBalance // the fee stays pending
	ReasonUnknownAccount      Reason = accountapi.TypeUnknownAccount
	ReasonInactiveAccount     Reason = accountapi.TypeInactiveAccount
)

// The errors of queries.
var (
	ErrNotFound = fault.New(fault.NotFound, "INVALID_OPERATION", "Tarifa não encontrada.")
	ErrForeign  = fault.New(fault.Forbidden, "INVALID_OPERATION", "Operação não permitida: a tarifa é de outra conta.")
)

// Fee is the fee of one transfer. Its times are the database's.
type Fee struct {
	ID            string      // UUIDv7: ordered by time
	TransferID    string      // one fee for each
	AccountNumber string      // the transfer's origin, which pays
	Amount        money.Cents // at least 0; 0 only if waived because fees are off
	Status        Status
	Reason        Reason // of Waived always; of Pending once a collection was refused
	CreatedAt     time.Time
	ChargedAt     time.Time // zero unless Charged
	TraceParent   string    // of the trace that the fee goes on with; "" if there is none
}

// Description is the text of a fee's debit in the account's statement. Each fee's description begins with it.
const Description = "Tarifa de transferência"

var explanations = map[Reason]string{
	ReasonDisabled:            "tarifa desativada",
	ReasonInsufficientBalance: "aguardando saldo",
	ReasonUnknownAccount:      "conta não encontrada",
	ReasonInactiveAccount:     "conta inativa",
}

// Description tells the customer what the fee is for and, if the fee is not charged, why.
func (f Fee) Description() string {
	text := Description
	if f.Status == Waived {
		text += " dispensada"
	}
	if f.Reason == ReasonNone || f.Status == Charged {
		return text
	}
	if why := explanations[f.Reason]; why != "" {
		return text + ": " + why
	}
	return text + ": " + string(f.Reason)
}

// Transfer is a completed transfer, which costs a fee.
type Transfer struct {
	ID            string      // a UUID in its canonical form
	AccountNumber string      // of the origin
	Amount        money.Cents // of the transfer, positive
	TraceParent   string      // see Fee
}

// newFee returns a new fee for t: pending, or waived if amount is 0.
func newFee(t Transfer, amount money.Cents) Fee {
	f := Fee{
		ID:            uuid.Must(uuid.NewV7()).String(),
		TransferID:    t.ID,
		AccountNumber: t.AccountNumber,
		Amount:        amount,
		Status:        Pending,
		TraceParent:   t.TraceParent,
	}
	if amount == 0 {
		f.Status, f.Reason = Waived, ReasonDisabled
	}
	return f
}
