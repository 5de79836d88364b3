package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/idempotency"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/web"
)

var (
	errInvalidType = fault.New(fault.Invalid, "INVALID_TYPE", "O tipo deve ser C (crédito) ou D (débito).")
	errNotOwn      = fault.New(fault.Forbidden, "INVALID_OPERATION", "A conta pertence a outra pessoa.")
)

type movementRequest struct {
	RequestID     string       `json:"request_id"`
	AccountNumber string       `json:"account_number"`
	Amount        *money.Cents `json:"amount"`
	Type          string       `json:"type"`
}

// kinds of movement that a customer may ask for, by type.
var kinds = map[ledger.Type]ledger.Kind{ledger.Credit: ledger.Deposit, ledger.Debit: ledger.Withdrawal}

func (h handlers) movement(r *http.Request) (web.Answer, error) {
	var in movementRequest
	if err := web.Decode(r, &in); err != nil {
		return web.Answer{}, err
	}
	requestID, err := web.RequestID(r, in.RequestID)
	if err != nil {
		return web.Answer{}, err
	}
	if err := h.validate(r, in); err != nil {
		return web.Answer{}, err
	}
	id, typ := caller(r).AccountID(), ledger.Type(in.Type)
	fingerprint := idempotency.Fingerprint(in.AccountNumber, in.Type, in.Amount.String())
	return h.Memory.Once(r.Context(), idempotency.Key("movement:"+id, requestID), fingerprint, func(ctx context.Context) (web.Answer, error) {
		result, err := h.Ledger.ApplyOne(ctx, ledger.Command{
			RequestKey: "customer:" + id + ":" + requestID, Fingerprint: fingerprint,
			AccountNumber: in.AccountNumber, Type: typ, Kind: kinds[typ], Amount: *in.Amount,
		})
		if err != nil {
			return web.Answer{}, err
		}
		answer := web.NoContent()
		if result.Refusal != nil {
			answer, err = web.Refusal(result.Refusal)
		}
		answer.Replayed = result.Replayed
		return answer, err
	})
}

func (h handlers) validate(r *http.Request, in movementRequest) error {
	if err := required("account_number", in.AccountNumber, "type", in.Type); err != nil {
		return err
	}
	if in.Amount == nil {
		return web.Missing("amount")
	}
	if err := in.Amount.Positive(); err != nil {
		return err
	}
	if kinds[ledger.Type(in.Type)] == "" {
		return errInvalidType
	}
	if in.AccountNumber == caller(r).AccountNumber {
		return nil
	}
	exists, err := h.Accounts.Exists(r.Context(), in.AccountNumber)
	if err == nil && !exists {
		err = ledger.ErrUnknownAccount
	} else if err == nil {
		err = errNotOwn
	}
	return err
}

type movementItem struct {
	ID           string      `json:"id"`
	Type         ledger.Type `json:"type"`
	Amount       money.Cents `json:"amount"`
	BalanceAfter money.Cents `json:"balance_after"`
	Kind         ledger.Kind `json:"kind"`
	Counterparty *string     `json:"counterparty_account_number"`
	Description  string      `json:"description"`
	TransferID   *string     `json:"transfer_id"`
	CreatedAt    time.Time   `json:"created_at"`
}

func (h handlers) statement(r *http.Request) (web.Answer, error) {
	page, err := web.PageFrom(r)
	if err != nil {
		return web.Answer{}, err
	}
	filter, err := h.filterFrom(r, page)
	if err != nil {
		return web.Answer{}, err
	}
	movements, err := h.Ledger.Statement(r.Context(), caller(r).AccountID(), filter, page.Limit+1)
	if err != nil {
		return web.Answer{}, err
	}
	rows := web.List(movements, page.Limit, func(m ledger.Movement) string { return strconv.FormatInt(m.Seq, 10) })
	listing := web.Listing[movementItem]{Items: make([]movementItem, len(rows.Items)), NextCursor: rows.NextCursor}
	for i, m := range rows.Items {
		listing.Items[i] = movementItem{
			ID: m.ID, Type: m.Type, Amount: m.Amount, BalanceAfter: m.BalanceAfter, Kind: m.Kind,
			Counterparty: optional(m.Counterparty), Description: m.Description, TransferID: optional(m.TransferID), CreatedAt: m.CreatedAt,
		}
	}
	return web.JSON(http.StatusOK, listing)
}

// filterFrom reads the filter of a statement from the query. A cursor holds the Seq of the last movement of the page before.
func (h handlers) filterFrom(r *http.Request, page web.Page) (f ledger.Filter, err error) {
	if page.After != "" {
		f.Before, err = strconv.ParseInt(page.After, 10, 64)
		if err != nil || f.Before < 1 || strconv.FormatInt(f.Before, 10) != page.After {
			return f, web.ErrBadCursor
		}
	}
	values := r.URL.Query()
	if f.From, err = bound(values, "from", h.Zone, false); err != nil {
		return f, err
	}
	f.To, err = bound(values, "to", h.Zone, true)
	return f, err
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
