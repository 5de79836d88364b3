package httpapi_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/golang-jwt/jwt/v5"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/httpapi"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/ratelimit"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/web/webtest"
)

const (
	ana, bia = "7907027952", "18"
	appToken = "app-token"
)

// TestMain silences the logs, since the tests cause many warnings.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// edge is fee-svc without its collector and its sidecar.
type edge struct {
	t       *testing.T
	handler http.Handler
	db      *sqldb.DB
	store   sqlstore.Store
	tokens  *auth.Tokens
	due     service.Bell
	broker  broker

	closed   *accountapi.Closed
	closings closings
}

// closings are the ids of the accounts that account-svc says are closed.
type closings []string

func (c *closings) Invoke(_ context.Context, _, _ string, _, out any) error {
	for _, id := range *c {
		page := out.(*accountapi.ClosedAccounts)
		page.Accounts = append(page.Accounts, accountapi.ClosedAccount{AccountID: id})
	}
	return nil
}

// broker keeps dead letters, unless it is down.
type broker struct {
	away bool
	kept []string
}

func (b *broker) keep(_ context.Context, event []byte) error {
	if b.away {
		return errors.New("broker away")
	}
	b.kept = append(b.kept, string(event))
	return nil
}

func newEdge(t *testing.T, amount money.Cents) *edge {
	t.Helper()
	return newLimitedEdge(t, amount, ratelimit.Rules{"*": 1_000_000})
}

// A customer over the limit of a route is refused, on each route.
func TestRoutesAreLimited(t *testing.T) {
	s := newLimitedEdge(t, 200, ratelimit.Rules{"*": 1})
	webtest.RoutesAreLimited(t, s.handler.(*chi.Mux), s.token("11", time.Hour))
}

func newLimitedEdge(t *testing.T, amount money.Cents, rules ratelimit.Rules) *edge {
	t.Helper()
	db, err := sqldb.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fee.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context(), sqlstore.Migrations()); err != nil {
		t.Fatal(err)
	}
	var keys auth.Keyring
	if err := keys.UnmarshalText([]byte("a-secret-of-the-tests-0123456789")); err != nil {
		t.Fatal(err)
	}
	s := &edge{
		t: t, db: db, store: sqlstore.New(db), due: service.NewBell(),
		tokens: auth.New(auth.Config{Keys: keys, Issuer: "bankmore", Audience: "bankmore-api", TTL: time.Hour}),
	}
	fees := fee.New(s.store, fee.Config{Amount: amount}, s.due)
	openAPI, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s.closed = accountapi.NewClosed(&s.closings)
	s.handler = httpapi.New(httpapi.Deps{
		Fees: fees, Tokens: s.tokens, Closed: s.closed, AppToken: appToken, OpenAPI: openAPI, DeadLetter: s.broker.keep,
		RateLimits: ratelimit.NewLocal(rules),
	})
	return s
}

func (s *edge) token(account string, ttl time.Duration) string {
	s.t.Helper()
	claims := accountapi.Claims{RegisteredClaims: s.tokens.Registered("id-of-"+account, time.Now()), AccountNumber: account}
	claims.ExpiresAt = jwt.NewNumericDate(time.Now().Add(ttl))
	token, err := s.tokens.Sign(claims)
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

func (s *edge) do(r *http.Request) (status int, body string, header http.Header) {
	s.t.Helper()
	r.Header.Set("X-Request-ID", "req-1")
	recorder := httptest.NewRecorder()
	s.handler.ServeHTTP(recorder, r)
	answer, err := io.ReadAll(recorder.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return recorder.Code, string(answer), recorder.Header()
}

// get sends a GET request with the token of account's owner.
func (s *edge) get(account, path string) (status int, body string) {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Authorization", "Bearer "+s.token(account, time.Hour))
	status, body, _ = s.do(r)
	return status, body
}

// deliver posts body as the sidecar does.
func (s *edge) deliver(body string) (status int, answer string) {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, httpapi.CompletedPath, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("dapr-api-token", appToken)
	status, answer, _ = s.do(r)
	return status, answer
}

// fees returns all fees of account, newest first.
func (s *edge) fees(account string) []fee.Fee {
	s.t.Helper()
	fees, err := s.store.List(s.t.Context(), account, "", 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	return fees
}
