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

	"github.com/golang-jwt/jwt/v5"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/httpapi"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/worker"
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

// service is fee-svc without its collector and its sidecar.
type service struct {
	t       *testing.T
	handler http.Handler
	db      *sqldb.DB
	store   *sqlstore.Store
	tokens  *auth.Tokens
	due     worker.Bell
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

func newService(t *testing.T, amount money.Cents) *service {
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
	s := &service{
		t: t, db: db, store: sqlstore.New(db), due: worker.NewBell(),
		tokens: auth.New(auth.Config{Keys: keys, Issuer: "bankmore", Audience: "bankmore-api", TTL: time.Hour}),
	}
	fees := fee.NewService(s.store, fee.Config{Amount: amount}, s.due)
	t.Cleanup(fees.Close)
	openAPI, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s.closed = accountapi.NewClosed(&s.closings)
	s.handler = httpapi.New(httpapi.Deps{
		Fees: fees, Tokens: s.tokens, Closed: s.closed, AppToken: appToken, OpenAPI: openAPI, DeadLetter: s.broker.keep,
	})
	return s
}

func (s *service) token(account string, ttl time.Duration) string {
	s.t.Helper()
	claims := accountapi.Claims{RegisteredClaims: s.tokens.Registered("id-of-"+account, time.Now()), AccountNumber: account}
	claims.ExpiresAt = jwt.NewNumericDate(time.Now().Add(ttl))
	token, err := s.tokens.Sign(claims)
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

func (s *service) do(r *http.Request) (status int, body string, header http.Header) {
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
func (s *service) get(account, path string) (status int, body string) {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Authorization", "Bearer "+s.token(account, time.Hour))
	status, body, _ = s.do(r)
	return status, body
}

// deliver posts body as the sidecar does.
func (s *service) deliver(body string) (status int, answer string) {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, httpapi.CompletedPath, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("dapr-api-token", appToken)
	status, answer, _ = s.do(r)
	return status, answer
}

// fees returns all fees of account, newest first.
func (s *service) fees(account string) []fee.Fee {
	s.t.Helper()
	fees, err := s.store.List(s.t.Context(), account, "", 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	return fees
}
