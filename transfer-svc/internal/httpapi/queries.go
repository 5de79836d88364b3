package httpapi

import (
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/web"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

type transferItem struct {
	ID          string         `json:"id"`
	RequestID   *string        `json:"request_id"` // null unless the reader is the sender
	Origin      string         `json:"origin_account_number"`
	Destination string         `json:"destination_account_number"`
	Amount      money.Cents    `json:"amount"`
	Status      transfer.State `json:"status"`
	FailureType *string        `json:"failure_type"` // null unless FAILED
	CreatedAt   time.Time      `json:"created_at"`
	CompletedAt *time.Time     `json:"completed_at"` // null unless COMPLETED
}

// itemOf returns t as one of its parties may see it. Only the sender sees the request id.
func itemOf(t transfer.Transfer, reader transfer.Party) transferItem {
	item := transferItem{
		ID: t.ID, Origin: t.Origin.AccountNumber, Destination: t.Destination, Amount: t.Amount,
		Status: t.State.Status(), CreatedAt: t.CreatedAt,
	}
	if t.Origin.AccountID == reader.AccountID {
		item.RequestID = &t.RequestID
	}
	switch t.State {
	case transfer.Failed:
		item.FailureType = &t.Failure.Type
	case transfer.Completed:
		item.CompletedAt = &t.CompletedAt
	}
	return item
}

func (h handlers) detail(r *http.Request) (web.Answer, error) {
	id := chi.URLParam(r, "id")
	if !web.IsID(id) {
		return web.Answer{}, transfer.ErrNotFound
	}
	t, err := h.Transfers.Find(r.Context(), caller(r), id)
	if err != nil {
		return web.Answer{}, err
	}
	return web.JSON(http.StatusOK, itemOf(t, caller(r)))
}

// list pages by id, which is ordered by time.
func (h handlers) list(r *http.Request) (web.Answer, error) {
	page, err := web.PageFrom(r)
	if err != nil {
		return web.Answer{}, err
	}
	if page.After != "" && !web.IsID(page.After) {
		return web.Answer{}, web.ErrBadCursor
	}
	transfers, err := h.Transfers.List(r.Context(), caller(r), page.After, page.Limit+1)
	if err != nil {
		return web.Answer{}, err
	}
	rows := web.List(transfers, page.Limit, func(t transfer.Transfer) string { return t.ID })
	listing := web.Listing[transferItem]{Items: make([]transferItem, len(rows.Items)), NextCursor: rows.NextCursor}
	for i, t := range rows.Items {
		listing.Items[i] = itemOf(t, caller(r))
	}
	return web.JSON(http.StatusOK, listing)
}
