package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Transfer statuses.
const (
	Pending   = "PENDING"
	Completed = "COMPLETED"
	Failed    = "FAILED"
)

// Receipt is the answer to a request for a transfer.
type Receipt struct {
	TransferID  string `json:"transfer_id"`
	Message     string `json:"message"`
	Status      string `json:"status"`
	Origin      string `json:"origin_account_number"`
	Destination string `json:"destination_account_number"`
	Amount      string `json:"amount"`

	Replayed   bool `json:"-"`
	HTTPStatus int  `json:"-"`
}

// Transfer sends an amount like "150.00" to another account.
func (s *Session) Transfer(ctx context.Context, requestID, destination, amount string) (Receipt, error) {
	in := map[string]string{"request_id": requestID, "destination_account_number": destination, "amount": amount}
	var out Receipt
	answer, err := s.call(ctx, http.MethodPost, s.doors.Transfer+"/api/transfer/", s.Token, in, &out)
	out.Replayed, out.HTTPStatus = answer.Replayed(), answer.Status
	return out, err
}

// Transfer is a transfer as its parties see it.
type Transfer struct {
	ID          string     `json:"id"`
	RequestID   string     `json:"request_id"` // the sender's; "" for the receiver
	Origin      string     `json:"origin_account_number"`
	Destination string     `json:"destination_account_number"`
	Amount      string     `json:"amount"`
	Status      string     `json:"status"`
	FailureType string     `json:"failure_type"`
	CreatedAt   time.Time  `json:"created_at"`
	CompletedAt *time.Time `json:"completed_at"`
}

// Transfers is one page of the transfers that the account sent and received.
func (s *Session) Transfers(ctx context.Context, q Query) (Page[Transfer], error) {
	var page Page[Transfer]
	_, err := s.call(ctx, http.MethodGet, s.doors.Transfer+"/api/transfer/list/"+q.String(), s.Token, nil, &page)
	return page, err
}

// TransferByID is one transfer.
func (s *Session) TransferByID(ctx context.Context, id string) (Transfer, error) {
	var out Transfer
	_, err := s.call(ctx, http.MethodGet, s.doors.Transfer+"/api/transfer/"+url.PathEscape(id)+"/", s.Token, nil, &out)
	return out, err
}

// Fee statuses.
const (
	Charged = "CHARGED"
	Waived  = "WAIVED"
)

// Fee is the fee of a transfer.
type Fee struct {
	ID            string     `json:"id"`
	TransferID    string     `json:"transfer_id"`
	AccountNumber string     `json:"account_number"`
	Amount        string     `json:"amount"`
	Type          string     `json:"type"`
	Status        string     `json:"status"`
	Description   string     `json:"description"`
	CreatedAt     time.Time  `json:"created_at"`
	ChargedAt     *time.Time `json:"charged_at"`
}

// Fees is one page of the account's fees.
func (s *Session) Fees(ctx context.Context, q Query) (Page[Fee], error) {
	return s.fees(ctx, "my", q)
}

// FeesOf is one page of the fees of that account.
func (s *Session) FeesOf(ctx context.Context, number string, q Query) (Page[Fee], error) {
	return s.fees(ctx, url.PathEscape(number), q)
}

func (s *Session) fees(ctx context.Context, whose string, q Query) (Page[Fee], error) {
	var page Page[Fee]
	_, err := s.call(ctx, http.MethodGet, s.doors.Fee+"/api/fee/"+whose+"/"+q.String(), s.Token, nil, &page)
	return page, err
}

// Fee is one fee.
func (s *Session) Fee(ctx context.Context, id string) (Fee, error) {
	var out Fee
	_, err := s.call(ctx, http.MethodGet, s.doors.Fee+"/api/fee/detail/"+url.PathEscape(id)+"/", s.Token, nil, &out)
	return out, err
}
