package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/groupcommit"
	"github.com/bankmore/bankmore/account-svc/internal/httpapi"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/ownercache"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/idempotency"
	"github.com/bankmore/bankmore/platform/ratelimit"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/web/webtest"
)

const (
	appToken = "the-app-api-token"
	anaCPF   = "52998224725"
	biaCPF   = "11144477735"
	password = "senha123"
)

// stateStore stands for the sidecar's state store. The end-to-end suite uses the real one.
type stateStore struct {
	mu   sync.Mutex
	data map[string][]byte
	gone bool
}

func (s *stateStore) Get(_ context.Context, keys []string) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return nil, io.ErrUnexpectedEOF
	}
	out := map[string][]byte{}
	for _, k := range keys {
		if v := s.data[k]; v != nil {
			out[k] = v
		}
	}
	return out, nil
}

func (s *stateStore) Save(_ context.Context, items []sidecar.StateItem) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return io.ErrUnexpectedEOF
	}
	for _, item := range items {
		s.data[item.Key] = item.Value
	}
	return nil
}

// api is account-svc without its sidecar.
type api struct {
	t      *testing.T
	router http.Handler
	tokens *auth.Tokens
	store  sqlstore.Store
	db     *sqldb.DB
	state  *stateStore
	memory *idempotency.Memory
}

func tokensFor(t *testing.T, secret string) *auth.Tokens {
	t.Helper()
	config := auth.Config{Issuer: "bankmore", Audience: "bankmore-api", TTL: time.Hour}
	if err := config.Keys.UnmarshalText([]byte(secret)); err != nil {
		t.Fatal(err)
	}
	return auth.New(config)
}

func newAPI(t *testing.T) *api {
	t.Helper()
	return newLimitedAPI(t, httpapi.LimitsConfig{PerCustomer: 5, FailuresPerSource: 20, RegistrationsPerSource: 20})
}

// A customer over the limit of a route is refused, on each route that takes a token.
func TestRoutesAreLimited(t *testing.T) {
	a := newRuledAPI(t, httpapi.LimitsConfig{PerCustomer: 5, FailuresPerSource: 20, RegistrationsPerSource: 20}, ratelimit.Rules{"*": 1})
	_, token := a.register("52998224725", "Ana Limite")
	webtest.RoutesAreLimited(t, a.router.(*chi.Mux), token)
}

func newLimitedAPI(t *testing.T, limits httpapi.LimitsConfig) *api {
	t.Helper()
	return newRuledAPI(t, limits, ratelimit.Rules{"*": 1_000_000})
}

func newRuledAPI(t *testing.T, limits httpapi.LimitsConfig, rules ratelimit.Rules) *api {
	t.Helper()
	db, err := sqldb.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "account.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context(), sqlstore.Migrations()); err != nil {
		t.Fatal(err)
	}
	a := &api{t: t, db: db, store: sqlstore.New(db), tokens: tokensFor(t, strings.Repeat("k", 32)), state: &stateStore{data: map[string][]byte{}}}
	customers, err := customer.New(a.store, customer.Argon2id{}, customer.CPFKeys{})
	if err != nil {
		t.Fatal(err)
	}
	openAPI, err := os.ReadFile("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	book := groupcommit.New(ledger.New(ownercache.New(a.store)))
	t.Cleanup(book.Close)
	a.memory = idempotency.New(a.state, idempotency.Config{TTL: time.Hour}, [][]byte{[]byte("a key of the memory")})
	a.router = httpapi.New(httpapi.Deps{
		Customers: customers, Ledger: book, Memory: a.memory, Tokens: a.tokens, AppToken: appToken,
		Limits: httpapi.NewLimits(limits, nil), Zone: httpapi.Zone{Location: time.UTC}, BankCode: "000", OpenAPI: openAPI,
		RateLimits: ratelimit.NewLocal(rules),
	})
	return a
}

type request struct {
	method, path, token, body string
	header                    http.Header
}

func (a *api) do(r request) *httptest.ResponseRecorder {
	a.t.Helper()
	req := httptest.NewRequestWithContext(a.t.Context(), r.method, r.path, strings.NewReader(r.body))
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	rec := httptest.NewRecorder()
	a.router.ServeHTTP(rec, req)
	return rec
}

func (a *api) want(rec *httptest.ResponseRecorder, status int, body string) {
	a.t.Helper()
	if rec.Code != status || rec.Body.String() != body {
		a.t.Errorf("got %d %s\nwant %d %s", rec.Code, rec.Body, status, body)
	}
}

// register opens an account and logs in.
func (a *api) register(cpf, name string) (number, token string) {
	a.t.Helper()
	rec := a.do(request{method: "POST", path: "/api/account/register/", body: fmt.Sprintf(`{"cpf":%q,"name":%q,"password":%q}`, cpf, name, password)})
	if rec.Code != http.StatusCreated {
		a.t.Fatalf("register: %d %s", rec.Code, rec.Body)
	}
	rec = a.do(request{method: "POST", path: "/api/account/login", body: fmt.Sprintf(`{"cpf":%q,"password":%q}`, cpf, password)})
	var login struct {
		Token         string `json:"token"`
		AccountNumber string `json:"account_number"`
		Name          string `json:"name"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &login, json.RejectUnknownMembers(true)); err != nil || login.Name != name {
		a.t.Fatalf("login: %d %s", rec.Code, rec.Body)
	}
	return login.AccountNumber, login.Token
}

func (a *api) move(token, number, requestID, amount, typ string) *httptest.ResponseRecorder {
	a.t.Helper()
	return a.do(request{
		method: "POST", path: "/api/account/movement/", token: token,
		body: fmt.Sprintf(`{"request_id":%q,"account_number":%q,"amount":%s,"type":%q}`, requestID, number, amount, typ),
	})
}

func (a *api) balance(token string) string {
	a.t.Helper()
	var out struct {
		Balance string `json:"balance"`
	}
	rec := a.do(request{method: "GET", path: "/api/account/balance/", token: token})
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		a.t.Fatalf("balance: %d %s", rec.Code, rec.Body)
	}
	return out.Balance
}

func TestCustomersDay(t *testing.T) {
	a := newAPI(t)
	number, token := a.register(anaCPF, "Ana Souza")
	a.want(a.move(token, number, "d1", "1000.00", "C"), 204, "")
	a.want(a.move(token, number, "w1", `"150.5"`, "D"), 204, "")
	a.want(a.do(request{method: "GET", path: "/api/account/balance", token: token}), 200,
		fmt.Sprintf(`{"account_number":%q,"account_name":"Ana Souza","balance":"849.50"}`, number))
	a.want(a.do(request{method: "GET", path: "/api/account/exists/" + number + "/", token: token}), 200, "true")
	for _, absent := range []string{"1", "x", "%00", "1%00", "%ff", "-1"} {
		a.want(a.do(request{method: "GET", path: "/api/account/exists/" + absent, token: token}), 200, "false")
	}
	a.want(a.deactivate(token, "errada"), 401, `{"message":"Senha incorreta.","type":"USER_UNAUTHORIZED"}`)
	a.want(a.deactivate(token, password), 400,
		`{"message":"Transfira ou saque o saldo antes de encerrar a conta.","type":"BALANCE_NOT_ZERO"}`)
	a.want(a.move(token, number, "w2", "849.50", "D"), 204, "")
	a.want(a.deactivate(token, password), 204, "")

	inactive := `{"message":"Conta inativa.","type":"INACTIVE_ACCOUNT"}`
	a.want(a.move(token, number, "d2", "1", "C"), 400, inactive)
	a.want(a.do(request{method: "GET", path: "/api/account/balance", token: token}), 400, inactive)
	a.want(a.do(request{method: "GET", path: "/api/account/statement", token: token}), 400, inactive)
	a.want(a.do(request{method: "GET", path: "/api/account/exists/" + number, token: token}), 400, inactive)
	a.want(a.do(request{method: "POST", path: "/api/account/login", body: fmt.Sprintf(`{"cpf":%q,"password":%q}`, anaCPF, password)}), 400, inactive)
	a.want(a.do(request{method: "POST", path: "/api/account/login", body: fmt.Sprintf(`{"cpf":%q,"password":"errada"}`, anaCPF)}), 401,
		`{"message":"CPF ou senha incorretos.","type":"USER_UNAUTHORIZED"}`)
	a.want(a.do(request{method: "POST", path: "/api/account/register", body: fmt.Sprintf(`{"cpf":%q,"name":"Ana","password":%q}`, anaCPF, password)}), 400,
		`{"message":"CPF já cadastrado.","type":"INVALID_DOCUMENT"}`)
}

func TestDatabaseAway(t *testing.T) {
	a := newAPI(t)
	number, token := a.register(anaCPF, "Ana")
	if err := a.db.Close(); err != nil {
		t.Fatal(err)
	}
	rec := a.move(token, number, "k", "1.00", "C")
	want := `{"message":"Serviço temporariamente indisponível. Código para o suporte: ` + rec.Header().Get("X-Request-ID") + `","type":"INTERNAL_ERROR"}`
	a.want(rec, 503, want)
	a.memory.Close()
	if len(a.state.data) != 0 {
		t.Error("a 503 was remembered")
	}
}
