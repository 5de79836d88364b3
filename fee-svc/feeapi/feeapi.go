// Package feeapi is fee-svc's public contract: its name, its event, and the topic of its dead letters.
package feeapi

import (
	"time"

	"github.com/bankmore/bankmore/platform/money"
)

// AppID is the Dapr app id of fee-svc, and so the name of its consumer group.
const AppID = "fee-svc"

// TopicCharged carries a Charged, at least once, for each charged fee.
const TopicCharged = "fee-charges"

// TopicDeadLetter carries the events of transferapi.TopicCompleted that fee-svc cannot understand, unchanged. ops reads them,
// and adds notes to the topic.
const TopicDeadLetter = "transfers-completed-dead-letter"

// Charged is the data of the CloudEvent.
type Charged struct {
	ID            string      `json:"id"` // of the fee
	TransferID    string      `json:"transfer_id"`
	AccountNumber string      `json:"account_number"`
	Amount        money.Cents `json:"amount"` // positive
	ChargedAt     time.Time   `json:"charged_at"`
}
