// Package accountapi is what other services know of account-svc: the claims of its tokens, and its internal operations with
// their clients.
package accountapi

import (
	"context"
	"regexp"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bankmore/bankmore/platform/auth"
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

// CallerID is the AccountID of the caller whom auth.RequireToken has put into ctx.
func CallerID(ctx context.Context) string { return auth.Claims[Claims](ctx).AccountID() }

var accountNumber = regexp.MustCompile(`^[0-9]{1,10}$`)

// IsAccountNumber reports whether s has the form of an account number: up to ten digits, the last of which is a check digit.
// Only account-svc knows whether that digit is right and whether the account exists.
func IsAccountNumber(s string) bool { return accountNumber.MatchString(s) }

// MovementsPath is the ledger operation: POST Movements, answered 200 with MovementResults. It holds no ids, since
// Dapr keys its circuit breakers by path.
const MovementsPath = "/internal/movements"

// MaxMovements bounds the commands of one call. A Then does not count, so one call asks for up to 512 movements. The body of
// a call is at most 4 MiB. MaxMovements commands fit, each with a Then, if every text in them has the 255 characters that the
// ledger accepts, of 4 bytes each. (A control character takes 6 bytes in JSON. No service of ours sends any.)
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

// Movements is a batch of commands; each stands or falls alone, but for a Then, which needs the movement before it.
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
	// Then is a movement that the ledger decides right after this one, in the same transaction, and only if this one is
	// applied, now or by an earlier request with the same request id. In all else it is like a movement that is sent alone:
	// it has a request id, an answer and a refusal of its own, and what it is does not belong to the payload of this one. If
	// Then is malformed, or has a Then itself, then this movement is malformed as well, and the ledger decides neither.
	//
	// The ledger may decide this movement and leave Then undecided: see MovementResult.Then. An older ledger always does,
	// since its decoder ignores members that it does not know. So account-svc and its callers may be upgraded in any order.
	Then *Movement `json:"then,omitzero"`
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
	// Then is what became of Movement.Then. It is absent if the ledger has not decided it: because the movement itself is not
	// applied, because another transaction holds one of the two accounts, or because the ledger is an older one that does not
	// know Then. The caller may send that movement alone.
	Then *MovementResult `json:"then,omitzero"`
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
