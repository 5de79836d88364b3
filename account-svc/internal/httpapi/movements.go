package httpapi

import (
	"context"
	"net/http"

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
		result, err := ledger.ApplyOne(ctx, h.Ledger, ledger.Command{
			RequestKey: "customer:" + id + ":" + requestID, Fingerprint: fingerprint,
			AccountNumber: in.AccountNumber, Type: typ, Kind: kinds[typ], Amount: *in.Amount,
		})
		if err != nil {
			return web.Answer{}, err
		}
		answer := web.NoContent()
		if result.Refusal != nil {
			answer, err = web.Refusal(result.Refusal.Fault())
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
	exists, err := h.Customers.Exists(r.Context(), in.AccountNumber)
	if err == nil && !exists {
		err = ledger.ErrUnknownAccount
	} else if err == nil {
		err = errNotOwn
	}
	return err
}
