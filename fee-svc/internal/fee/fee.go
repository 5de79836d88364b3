// Package fee charges the tariff of completed transfers: one fee per transfer, recorded when the transfer's event is
// consumed, collected from the origin account afterwards.
package fee

import (
	"time"

	"github.com/google/uuid"

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

// Reason says why a fee is waived or still pending: ReasonDisabled, or the error type of the ledger's last refusal.
type Reason string

// The reasons that are known here. Any other refusal of the ledger is permanent.
const (
	ReasonNone                Reason = ""
	ReasonDisabled            Reason = "FEES_DISABLED"
	ReasonInsufficientBalance Reason = "INSUFFICIENT_BALANCE" // the one that a deposit can cure
	ReasonUnknownAccount      Reason = "INVALID_ACCOUNT"
	ReasonInactiveAccount     Reason = "INACTIVE_ACCOUNT"
)

// Failures of queries.
var (
	ErrNotFound = fault.New(fault.NotFound, "INVALID_OPERATION", "Tarifa não encontrada.")
	ErrForeign  = fault.New(fault.Forbidden, "INVALID_OPERATION", "Operação não permitida: a tarifa é de outra conta.")
)

// Fee is the tariff of one transfer.
type Fee struct {
	ID            string      // UUIDv7: ordered by time
	TransferID    string      // one fee for each
	AccountNumber string      // the transfer's origin, which pays
	Amount        money.Cents // at least 0; 0 only if waived because fees are off
	Status        Status
	Reason        Reason // of Waived always; of Pending once a collection was refused
	CreatedAt     time.Time
	ChargedAt     time.Time // zero unless Charged
}

// Description is the text of a charged fee in the account's statement, and the beginning of every fee's description.
const Description = "Tarifa de transferência"

var explanations = map[Reason]string{
	ReasonDisabled:            "tarifa desativada",
	ReasonInsufficientBalance: "aguardando saldo",
	ReasonUnknownAccount:      "conta não encontrada",
	ReasonInactiveAccount:     "conta inativa",
}

// Description tells the customer what the fee is for, and why it is not charged.
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

// Transfer is what a fee follows from: a completed transfer.
type Transfer struct {
	ID            string      // a UUID in its canonical form
	AccountNumber string      // of the origin
	Amount        money.Cents // of the transfer, positive
}

func canonicalID(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && id.String() == s
}

// newFee is the fee of t at the present tariff.
func newFee(t Transfer, amount money.Cents, now time.Time) Fee {
	f := Fee{
		ID:            uuid.Must(uuid.NewV7()).String(),
		TransferID:    t.ID,
		AccountNumber: t.AccountNumber,
		Amount:        amount,
		Status:        Pending,
		CreatedAt:     now,
	}
	if amount == 0 {
		f.Status, f.Reason = Waived, ReasonDisabled
	}
	return f
}
