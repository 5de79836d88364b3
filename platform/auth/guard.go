package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/web"
)

// Failures of authentication.
var (
	ErrNoToken      = fault.New(fault.Unauthenticated, fault.TypeUnauthorized, "Autenticação necessária.")
	ErrInvalidToken = fault.New(fault.Forbidden, fault.TypeInvalidToken, "Token inválido ou expirado.")
)

type claimsKey[C any] struct{}

// RequireToken is middleware that admits only requests with a valid bearer token (RFC 6750). Handlers read its claims, of
// type C, with Claims.
func RequireToken[C any, P interface {
	*C
	jwt.Claims
}](tokens *Tokens) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			token = strings.TrimSpace(token)
			if !strings.EqualFold(scheme, "Bearer") || token == "" {
				web.WriteError(w, r, ErrNoToken)
				return
			}
			claims := P(new(C))
			if err := tokens.Verify(token, claims); err != nil {
				web.WriteError(w, r, ErrInvalidToken.Because(err))
				return
			}
			next.ServeHTTP(w, r.WithContext(WithClaims(r.Context(), claims)))
		})
	}
}

// RequireClaims is middleware that admits only callers whose claims pass check. It comes after RequireToken. If check fails,
// its error is the answer.
func RequireClaims[C any](check func(claims *C) error) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := check(Claims[C](r.Context())); err != nil {
				web.WriteError(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// WithClaims returns a context of a caller who has proven claims.
func WithClaims[C any](ctx context.Context, claims *C) context.Context {
	return context.WithValue(ctx, claimsKey[C]{}, claims)
}

// Claims returns the caller's claims. It panics on a route without RequireToken, which is a defect.
func Claims[C any](ctx context.Context) *C {
	return ctx.Value(claimsKey[C]{}).(*C)
}

// AppTokenHeader carries the app API token that a sidecar presents to its app
// (https://docs.dapr.io/operations/security/app-api-token/).
const AppTokenHeader = "dapr-api-token"

// HasAppToken reports whether the service's own sidecar delivers r, which presents token. It is false for an empty token.
func HasAppToken(r *http.Request, token string) bool {
	want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(r.Header.Get(AppTokenHeader)))
	return token != "" && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// RequireAppToken is middleware that admits only the service's own sidecar. An empty token, which configuration allows
// in the local environment only, admits everybody.
func RequireAppToken(token string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if token != "" && !HasAppToken(r, token) {
				web.WriteError(w, r, ErrInvalidToken)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}
