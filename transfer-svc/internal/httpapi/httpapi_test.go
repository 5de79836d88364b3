package httpapi_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/accountapi/accounttest"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/idempotency"
	"github.com/bankmore/bankmore/platform/ratelimit"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/web/webtest"
	"github.com/bankmore/bankmore/transfer-svc/internal/httpapi"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// stateStore is a fake of the sidecar's state store. The end-to-end suite uses the real one.
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

func (s *stateStore) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.data)
}

// api is transfer-svc without its sidecar. Ana has account 11 with 1,000.00, and Bia has account 22 with 0.00. Account 33 is
// inactive. Caio has account 44.
type api struct {
	t         *testing.T
	router    http.Handler
	tokens    *auth.Tokens
	store     sqlstore.Store
	state     *stateStore
	memory    *idempotency.Memory
	ledger    *accounttest.Ledger
	transfers *transfer.Service
	db        *sqldb.DB
	closed    *accountapi.Closed
	closings  closings
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

var ana, bia, caio = claims("ana", "11"), claims("bia", "22"), claims("caio", "44")

func claims(id, number string) accountapi.Claims {
	c := accountapi.Claims{AccountNumber: number}
	c.Subject = id
	return c
}

func tokensFor(t *testing.T, secret string, ttl time.Duration) *auth.Tokens {
	t.Helper()
	config := auth.Config{Issuer: "bankmore", Audience: "bankmore-api", TTL: ttl}
	if err := config.Keys.UnmarshalText([]byte(secret)); err != nil {
		t.Fatal(err)
	}
	return auth.New(config)
}

var secret = strings.Repeat("k", 32)

// newAPI returns an API whose requests wait for the ledger as long as usual. A test whose ledger does not answer runs in a synctest
// bubble, where that takes no time.
func newAPI(t *testing.T) *api {
	t.Helper()
	return newLimitedAPI(t, ratelimit.Rules{"*": 1_000_000})
}

// A customer over the limit of a route is refused, on each route.
func TestRoutesAreLimited(t *testing.T) {
	a := newLimitedAPI(t, ratelimit.Rules{"*": 1})
	webtest.RoutesAreLimited(t, a.router.(*chi.Mux), a.token(accountapi.Claims{AccountNumber: "11"}))
}

func newLimitedAPI(t *testing.T, rules ratelimit.Rules) *api {
	t.Helper()
	db, err := sqldb.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "transfer.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // a test may have closed it
	if err := db.Migrate(t.Context(), sqlstore.Migrations()); err != nil {
		t.Fatal(err)
	}
	a := &api{
		t: t, db: db, store: sqlstore.New(db), tokens: tokensFor(t, secret, time.Hour), state: &stateStore{data: map[string][]byte{}},
		ledger: accounttest.New(map[string]accounttest.Account{"11": {Balance: 100000}, "22": {}, "33": {Inactive: true}, "44": {}}),
	}
	a.transfers = transfer.New(a.store, a.ledger, transfer.Config{Deadline: 8 * time.Second, AttemptTimeout: 3 * time.Second},
		transfer.Bells{Completed: service.NewBell(), Overdue: service.NewBell()})
	t.Cleanup(func() {
		for _, misuse := range a.ledger.Misuses() {
			t.Error(misuse)
		}
	})
	a.memory = idempotency.New(a.state, idempotency.Config{TTL: time.Hour}, [][]byte{[]byte("a key of the memory")})
	t.Cleanup(a.memory.Close)
	a.closed = accountapi.NewClosed(&a.closings)
	a.router = a.routes(rules)
	return a
}

// routes returns the router with limits that have counted nothing.
func (a *api) routes(rules ratelimit.Rules) http.Handler {
	return httpapi.New(httpapi.Deps{
		Transfers: a.transfers, Memory: a.memory, Tokens: a.tokens, Closed: a.closed, OpenAPI: []byte("openapi: 3.1.0"),
		RateLimits: ratelimit.NewLocal(rules),
	})
}

// forget empties the idempotency memory, so that the database has to answer repeated requests.
func (a *api) forget() {
	a.state.mu.Lock()
	defer a.state.mu.Unlock()
	clear(a.state.data)
}

func (a *api) token(c accountapi.Claims) string {
	a.t.Helper()
	return sign(a.t, a.tokens, c)
}

func sign(t *testing.T, tokens *auth.Tokens, c accountapi.Claims) string {
	t.Helper()
	c.RegisteredClaims = tokens.Registered(c.Subject, time.Now())
	token, err := tokens.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// request is a call to the API, as JSON if it has a body.
type request struct {
	method, path, body string
	as                 *accountapi.Claims // nil: no token
	header             map[string]string  // "" removes
}

type answer struct {
	status   int
	body     string
	replayed bool
	header   http.Header
}

func (a *api) do(r request) answer {
	a.t.Helper()
	req := httptest.NewRequestWithContext(a.t.Context(), r.method, r.path, strings.NewReader(r.body))
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.as != nil {
		req.Header.Set("Authorization", "Bearer "+a.token(*r.as))
	}
	for name, value := range r.header {
		req.Header.Del(name)
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	a.router.ServeHTTP(w, req)
	if w.Header().Get("X-Request-ID") == "" {
		a.t.Errorf("%s %s: no X-Request-ID", r.method, r.path)
	}
	return answer{status: w.Code, body: w.Body.String(), replayed: w.Header().Get("Idempotency-Replayed") == "true", header: w.Header()}
}

// send is Ana's transfer request.
func (a *api) send(body string) answer {
	a.t.Helper()
	return a.do(request{method: "POST", path: "/api/transfer/", body: body, as: &ana})
}

func (a *api) get(path string, as accountapi.Claims) answer {
	a.t.Helper()
	return a.do(request{method: "GET", path: path, as: &as})
}

func (a *api) want(what string, got answer, status int, body string) {
	a.t.Helper()
	if got.status != status || got.body != body {
		a.t.Errorf("%s:\n got %d %s\nwant %d %s", what, got.status, got.body, status, body)
	}
}

// field returns a string member of a JSON object.
func (a *api) field(body, name string) string {
	a.t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(body), &members); err != nil {
		a.t.Fatalf("%s: %v", body, err)
	}
	s, ok := members[name].(string)
	if !ok {
		a.t.Fatalf("no %s in %s", name, body)
	}
	return s
}

// recoverAll drives all unfinished transfers to their end.
func (a *api) recoverAll() {
	a.t.Helper()
	a.ledger.OnMove(func(accountapi.Movement) accounttest.Fault { return accounttest.None })
	for range 100 {
		if _, err := a.transfers.Recover(a.t.Context()); err != nil {
			a.t.Fatal(err)
		}
		if backlog, err := a.store.Backlog(a.t.Context()); err != nil || len(backlog) == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	a.t.Fatal("recovery does not come to an end")
}
