// Package feeapi is what other services know of fee-svc: its event.
package feeapi

import (
	"time"

	"github.com/bankmore/bankmore/platform/money"
)

// TopicCharged carries a Charged for each fee that has been debited, at least once.
const TopicCharged = "fee-charges"

// Charged is the data of the CloudEvent.
type Charged struct {
	ID            string      `json:"id"` // of the fee
	TransferID    string      `json:"transfer_id"`
	AccountNumber string      `json:"account_number"`
	Amount        money.Cents `json:"amount"` // positive
	ChargedAt     time.Time   `json:"charged_at"`
}
