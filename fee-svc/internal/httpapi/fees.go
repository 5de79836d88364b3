package httpapi

import (
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/web"
)

// typeTransfer is the only type of fee.
const typeTransfer = "transfer"

type feeItem struct {
	ID            string      `json:"id"`
	TransferID    string      `json:"transfer_id"`
	AccountNumber string      `json:"account_number"`
	Amount        money.Cents `json:"amount"`
	Type          string      `json:"type"`
	Status        fee.Status  `json:"status"`
	Description   string      `json:"description"`
	CreatedAt     time.Time   `json:"created_at"`
	ChargedAt     *time.Time  `json:"charged_at"` // null unless charged
}

func itemOf(f fee.Fee) feeItem {
	item := feeItem{
		ID: f.ID, TransferID: f.TransferID, AccountNumber: f.AccountNumber, Amount: f.Amount, Type: typeTransfer,
		Status: f.Status, Description: f.Description(), CreatedAt: f.CreatedAt,
	}
	if !f.ChargedAt.IsZero() {
		item.ChargedAt = &f.ChargedAt
	}
	return item
}

func (h handlers) mine(r *http.Request) (web.Answer, error) { return h.list(r, caller(r)) }

func (h handlers) ofAccount(r *http.Request) (web.Answer, error) {
	number := chi.URLParam(r, "account_number")
	if number != caller(r) {
		return web.Answer{}, fee.ErrForeign
	}
	return h.list(r, number)
}

// list answers with a page of fees. The cursor is the id of the last fee on the page before.
func (h handlers) list(r *http.Request, accountNumber string) (web.Answer, error) {
	page, err := web.PageFrom(r)
	if err != nil {
		return web.Answer{}, err
	}
	if page.After != "" && !web.IsID(page.After) {
		return web.Answer{}, web.ErrBadCursor
	}
	fees, err := h.Fees.List(r.Context(), accountNumber, page.After, page.Limit+1)
	if err != nil {
		return web.Answer{}, err
	}
	items := make([]feeItem, len(fees))
	for i, f := range fees {
		items[i] = itemOf(f)
	}
	return web.JSON(http.StatusOK, web.List(items, page.Limit, func(f feeItem) string { return f.ID }))
}

func (h handlers) detail(r *http.Request) (web.Answer, error) {
	id := chi.URLParam(r, "id")
	if !web.IsID(id) {
		return web.Answer{}, fee.ErrNotFound
	}
	f, err := h.Fees.Detail(r.Context(), caller(r), id)
	if err != nil {
		return web.Answer{}, err
	}
	return web.JSON(http.StatusOK, itemOf(f))
}
