// Package httpapi is account-svc's HTTP edge.
package httpapi

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/httpapi/docs"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/idempotency"
	"github.com/bankmore/bankmore/platform/ratelimit"
	"github.com/bankmore/bankmore/platform/web"
)

// Deps is what the handlers work with.
type Deps struct {
	Customers  *customer.Service
	Ledger     ledger.Ledger
	Memory     *idempotency.Memory
	Tokens     *auth.Tokens
	AppToken   string
	Limits     *Limits
	Zone       Zone                 // of the days in statements
	BankCode   string               // in OFX files
	RateLimits *ratelimit.Customers // of requests with a token
	OpenAPI    []byte
}

type handlers struct{ Deps }

// New returns the router with every route of the service. Each works with and without a trailing slash.
func New(deps Deps) *chi.Mux {
	h := handlers{deps}
	r := web.NewRouter()
	r.Route("/api/account", func(r chi.Router) {
		r.Method(http.MethodPost, "/register", web.Handler(h.register).Accepting())
		r.Method(http.MethodPost, "/login", web.Handler(h.login).Accepting())
		r.Group(func(r chi.Router) {
			r.Use(auth.RequireToken[accountapi.Claims](deps.Tokens), deps.RateLimits.Middleware(accountapi.CallerID))
			r.Method(http.MethodPut, "/deactivate", web.Handler(h.deactivate).Accepting())
			r.Method(http.MethodPost, "/movement", web.Handler(h.movement).Accepting())
			r.Method(http.MethodGet, "/balance", web.Handler(h.balance).Accepting())
			r.Method(http.MethodGet, "/exists/{number}", web.Handler(h.exists).Accepting())
			r.Method(http.MethodGet, "/statement", h.statement())
		})
	})
	r.Group(func(r chi.Router) {
		r.Use(auth.RequireAppToken(deps.AppToken))
		r.Method(http.MethodPost, accountapi.MovementsPath, web.Handler(h.applyMovements))
		r.Method(http.MethodPost, accountapi.BalancesPath, web.Handler(h.balances))
		r.Method(http.MethodPost, accountapi.ClosedPath, web.Handler(h.closed))
	})
	web.MountSchema(r, "account", deps.OpenAPI)
	docs.Mount(r, h.limitDocuments)
	return r
}

func caller(r *http.Request) *accountapi.Claims { return auth.Claims[accountapi.Claims](r.Context()) }
