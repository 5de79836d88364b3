// Package httpapi is fee-svc's HTTP edge.
package httpapi

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/ratelimit"
	"github.com/bankmore/bankmore/platform/web"
)

// Deps is what the handlers work with.
type Deps struct {
	Fees       *fee.Service
	Tokens     *auth.Tokens
	Closed     *accountapi.Closed
	AppToken   string
	RateLimits *ratelimit.Customers // of requests with a token
	OpenAPI    []byte
	// DeadLetter publishes a message unchanged to feeapi.TopicDeadLetter. It returns nil once the broker has it.
	DeadLetter func(ctx context.Context, message []byte) error
}

type handlers struct{ Deps }

// CompletedPath is the path to which the sidecar delivers the topic transfers-completed. The Dapr subscription names it, too.
const CompletedPath = "/events/transfers-completed"

// New returns the router with every route of the service. Each works with and without a trailing slash.
func New(deps Deps) *chi.Mux {
	h := handlers{deps}
	r := web.NewRouter()
	r.Route("/api/fee", func(r chi.Router) {
		r.Use(auth.RequireToken[accountapi.Claims](deps.Tokens), auth.RequireClaims(deps.Closed.Check))
		r = r.With(deps.RateLimits.Middleware(accountapi.CallerID))
		r.Method(http.MethodGet, "/my", web.Handler(h.mine).Accepting("cursor", "limit"))
		r.Method(http.MethodGet, "/{account_number}", web.Handler(h.ofAccount).Accepting("cursor", "limit"))
		r.Method(http.MethodGet, "/detail/{id}", web.Handler(h.detail).Accepting())
	})
	events := subscriber{recorder: deps.Fees, deadLetter: deps.DeadLetter}
	r.With(auth.RequireAppToken(deps.AppToken)).Method(http.MethodPost, CompletedPath, web.Handler(events.completed))
	web.MountSchema(r, "fee", deps.OpenAPI)
	return r
}

// caller returns the account number in the caller's token.
func caller(r *http.Request) string { return auth.Claims[accountapi.Claims](r.Context()).AccountNumber }
