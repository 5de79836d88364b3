// Package transferapi is transfer-svc's public contract: its name and its event.
package transferapi

import (
	"time"

	"github.com/bankmore/bankmore/platform/money"
)

// AppID is the Dapr app id of transfer-svc.
const AppID = "transfer-svc"

// TopicCompleted carries a Completed, at least once, for each completed transfer.
const TopicCompleted = "transfers-completed"

// Completed is the data of the CloudEvent.
type Completed struct {
	ID                       string      `json:"id"` // of the transfer
	RequestID                string      `json:"request_id"`
	OriginAccountNumber      string      `json:"origin_account_number"`
	DestinationAccountNumber string      `json:"destination_account_number"`
	Amount                   money.Cents `json:"amount"` // positive
	CompletedAt              time.Time   `json:"completed_at"`

	// TraceParent is W3C's, of the trace that a consumer goes on with; "" if there is none. It is an attribute of the CloudEvent
	// (https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/distributed-tracing.md).
	TraceParent string `json:"-"`
}
