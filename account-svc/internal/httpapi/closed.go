package httpapi

import (
	"net/http"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/web"
)

// maxQueryBytes bounds the body of a request without lists.
const maxQueryBytes = 4 << 10

// closed tells other services which accounts were closed so recently that their tokens may not have expired.
func (h handlers) closed(r *http.Request) (web.Answer, error) {
	var in accountapi.ClosedQuery
	if err := web.DecodeInternal(r, &in, maxQueryBytes); err != nil {
		return web.Answer{}, err
	}
	after := customer.Closing{At: h.Tokens.OldestIssue(time.Now())}
	if in.After != nil {
		if !web.IsID(in.After.AccountID) {
			return web.Answer{}, fault.BadArgument("Conta inválida.")
		}
		after = customer.Closing{AccountID: in.After.AccountID, At: in.After.ClosedAt}
	}
	closings, err := h.Customers.Closed(r.Context(), after, accountapi.MaxClosed+1)
	if err != nil {
		return web.Answer{}, err
	}
	out := accountapi.ClosedAccounts{More: len(closings) > accountapi.MaxClosed}
	for _, c := range closings[:min(len(closings), accountapi.MaxClosed)] {
		out.Accounts = append(out.Accounts, accountapi.ClosedAccount{AccountID: c.AccountID, ClosedAt: c.At})
	}
	return web.JSON(http.StatusOK, out)
}
