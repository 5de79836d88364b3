// Package accountapi is what other services know of account-svc: the claims of its tokens, and its internal operations with
// their clients.
package accountapi

import (
	"github.com/golang-jwt/jwt/v5"

	"github.com/bankmore/bankmore/platform/money"
)

// AppID is the Dapr app id of account-svc.
const AppID = "account-svc"

// Claims are what a customer's token says. The subject is the account id.
type Claims struct {
	jwt.RegisteredClaims
	AccountNumber string `json:"account_number"`
}

// AccountID is the internal id of the caller's account.
func (c *Claims) AccountID() string { return c.Subject }

// MovementsPath is the ledger operation: POST Movements, answered 200 with MovementResults. It holds no ids, since
// Dapr keys its circuit breakers by path.
const MovementsPath = "/internal/movements"

// MaxMovements bounds the commands of one call.
const MaxMovements = 256

// Movement types, as seen from the customer's account.
const (
	Credit = "C"
	Debit  = "D"
)

// Kinds of movement that services may ask for. The kind decides the contra account: transit for transfer and refund,
// fee-revenue for fee.
const (
	KindTransfer = "transfer"
	KindFee      = "fee"
	KindRefund   = "refund"
)

// Movements is a batch of commands; each stands or falls alone.
type Movements struct {
	Commands []Movement `json:"commands"`
}

// Movement is one command on the ledger.
type Movement struct {
	RequestID     string      `json:"request_id"` // the idempotency key: <transfer-id>:debit, :credit, :refund or :fee
	AccountNumber string      `json:"account_number"`
	Type          string      `json:"type"`   // Credit or Debit
	Kind          string      `json:"kind"`   // KindTransfer, KindFee or KindRefund
	Amount        money.Cents `json:"amount"` // positive
	TransferID    string      `json:"transfer_id"`
	// Counterparty is the other account of a transfer. With a debit of KindTransfer it must exist and be active, or the
	// debit is refused.
	Counterparty string `json:"counterparty_account_number,omitzero"`
	Description  string `json:"description,omitzero"` // shown in the statement
	// TransferRequestID and TransferFingerprint are the request id that the customer chose for the transfer, and the
	// fingerprint of that request. The ledger stores them with the movement and decides nothing by them. A debit of
	// KindTransfer carries them, so that an operator can restore transfers that transfer-svc has lost.
	TransferRequestID   string `json:"transfer_request_id,omitzero"`
	TransferFingerprint string `json:"transfer_fingerprint,omitzero"`
}

// MovementResults has one result per command, in order.
type MovementResults struct {
	Results []MovementResult `json:"results"`
}

// MovementResult is what became of one command.
type MovementResult struct {
	Status   Status `json:"status"`
	Replayed bool   `json:"replayed,omitzero"` // decided by an earlier request with the same key
	Type     string `json:"type,omitzero"`     // the error type; "" if applied
	Message  string `json:"message,omitzero"`
}

// Status of a command. Applied and refused are final and the same for ever under the same request id.
type Status string

// The statuses.
const (
	StatusApplied  Status = "applied"
	StatusRefused  Status = "refused"  // by a business rule; nothing moved, nor ever will under this request id
	StatusUnknown  Status = "unknown"  // the ledger could not decide; the command has to be sent again with the same request id
	StatusRejected Status = "rejected" // the command itself is wrong (malformed, or its key belongs to another payload)
)
