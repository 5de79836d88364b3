package httpapi

import (
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/web"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

type transferItem struct {
	ID          string         `json:"id"`
	RequestID   string         `json:"request_id"`
	Origin      string         `json:"origin_account_number"`
	Destination string         `json:"destination_account_number"`
	Amount      money.Cents    `json:"amount"`
	Status      transfer.State `json:"status"`
	FailureType *string        `json:"failure_type"` // null unless FAILED
	CreatedAt   time.Time      `json:"created_at"`
	CompletedAt *time.Time     `json:"completed_at"` // null unless COMPLETED
}

func itemOf(t transfer.Transfer) transferItem {
	item := transferItem{
		ID: t.ID, RequestID: t.RequestID, Origin: t.Origin.AccountNumber, Destination: t.Destination, Amount: t.Amount,
		Status: t.State.Status(), CreatedAt: t.CreatedAt,
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
	id, err := uuid.Parse(chi.URLParam(r, "id"))
	if err != nil {
		return web.Answer{}, transfer.ErrNotFound.Because(err)
	}
	t, err := h.Transfers.Find(r.Context(), caller(r), id.String())
	if err != nil {
		return web.Answer{}, err
	}
	return web.JSON(http.StatusOK, itemOf(t))
}

// list pages by id, which is ordered by time.
func (h handlers) list(r *http.Request) (web.Answer, error) {
	page, err := web.PageFrom(r)
	if err != nil {
		return web.Answer{}, err
	}
	if page.After != "" {
		if id, err := uuid.Parse(page.After); err != nil || id.String() != page.After {
			return web.Answer{}, web.ErrBadCursor
		}
	}
	transfers, err := h.Transfers.List(r.Context(), caller(r), page.After, page.Limit+1)
	if err != nil {
		return web.Answer{}, err
	}
	rows := web.List(transfers, page.Limit, func(t transfer.Transfer) string { return t.ID })
	listing := web.Listing[transferItem]{Items: make([]transferItem, len(rows.Items)), NextCursor: rows.NextCursor}
	for i, t := range rows.Items {
		listing.Items[i] = itemOf(t)
	}
	return web.JSON(http.StatusOK, listing)
}
