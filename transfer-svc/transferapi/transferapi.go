// Package transferapi is what other services know of transfer-svc: its event.
package transferapi

import (
	"time"

	"github.com/bankmore/bankmore/platform/money"
)

// TopicCompleted carries a Completed for each transfer that has ended well, at least once.
const TopicCompleted = "transfers-completed"

// Completed is the data of the CloudEvent.
type Completed struct {
	ID                       string      `json:"id"` // of the transfer
	RequestID                string      `json:"request_id"`
	OriginAccountNumber      string      `json:"origin_account_number"`
	DestinationAccountNumber string      `json:"destination_account_number"`
	Amount                   money.Cents `json:"amount"` // positive
	CompletedAt              time.Time   `json:"completed_at"`
}
