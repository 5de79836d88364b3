// Package httpapi is transfer-svc's HTTP edge.
package httpapi

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/idempotency"
	"github.com/bankmore/bankmore/platform/ratelimit"
	"github.com/bankmore/bankmore/platform/web"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// Deps is what the handlers work with.
type Deps struct {
	Transfers  *transfer.Service
	Memory     *idempotency.Memory
	Tokens     *auth.Tokens
	Closed     *accountapi.Closed
	RateLimits *ratelimit.Customers // of requests with a token
	OpenAPI    []byte
}

type handlers struct{ Deps }

// New returns the router with every route of the service. Each works with and without a trailing slash.
func New(deps Deps) *chi.Mux {
	h := handlers{deps}
	r := web.NewRouter()
	r.Route("/api/transfer", func(r chi.Router) {
		r.Use(auth.RequireToken[accountapi.Claims](deps.Tokens))
		limited := r.With(deps.RateLimits.Middleware(accountapi.CallerID))
		limited.Method(http.MethodPost, "/", web.Handler(h.transfer).Accepting())
		limited.Group(func(r chi.Router) { // not for POST: account-svc decides whether the sender's account is open
			r.Use(auth.RequireClaims(deps.Closed.Check))
			r.Method(http.MethodGet, "/list", web.Handler(h.list).Accepting("cursor", "limit"))
			r.Method(http.MethodGet, "/{id}", web.Handler(h.detail).Accepting())
		})
	})
	web.MountSchema(r, "transfer", deps.OpenAPI)
	return r
}

// caller is the account that the request's token names.
func caller(r *http.Request) transfer.Party {
	claims := auth.Claims[accountapi.Claims](r.Context())
	return transfer.Party{AccountID: claims.AccountID(), AccountNumber: claims.AccountNumber}
}
