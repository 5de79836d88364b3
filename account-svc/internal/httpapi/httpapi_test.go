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
	"github.com/golang-jwt/jwt/v5"

	"github.com/bankmore/bankmore/account-svc/accountapi"
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

func (a *api) deactivate(token, password string) *httptest.ResponseRecorder {
	a.t.Helper()
	return a.do(request{method: "PUT", path: "/api/account/deactivate/", token: token, body: fmt.Sprintf(`{"password":%q}`, password)})
}

// A customer who never got the answer to a closing closes the account a second time and succeeds, but only with the right
// password. A refund that has reached the account meanwhile does not matter.
func TestClosingAgain(t *testing.T) {
	a := newAPI(t)
	ana, token := a.register(anaCPF, "Ana")
	bia, _ := a.register(biaCPF, "Bia")
	a.want(a.move(token, ana, "d", "10.00", "C"), 204, "")
	leg := func(id, typ, kind string) {
		t.Helper()
		body := fmt.Sprintf(`{"commands":[{"request_id":%q,"account_number":%q,"type":%q,"kind":%q,"amount":"10.00","transfer_id":"t","counterparty_account_number":%q}]}`,
			id, ana, typ, kind, bia)
		a.want(a.do(request{method: "POST", path: accountapi.MovementsPath, body: body, header: http.Header{"Dapr-Api-Token": {appToken}}}),
			200, `{"results":[{"status":"applied"}]}`)
	}
	leg("t:debit", "D", "transfer")
	a.want(a.deactivate(token, password), 204, "")
	a.want(a.deactivate(token, password), 204, "")
	a.want(a.deactivate(token, "errada"), 401, `{"message":"Senha incorreta.","type":"USER_UNAUTHORIZED"}`)
	leg("t:refund", "C", "refund")
	a.want(a.deactivate(token, password), 204, "")

	// An operator reopens Ana's account, and her money is there.
	if _, err := a.store.Reopen(t.Context(), customer.Reopening{Number: ana, Reason: "a refund came", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if got := a.balance(token); got != "10.00" {
		t.Errorf("balance %s", got)
	}
	a.want(a.move(token, ana, "w", "10.00", "D"), 204, "")
	a.want(a.deactivate(token, password), 204, "")
}

// A customer who never got the answer to a registration registers a second time and gets the same account, unless something
// has happened to the account meanwhile. A client without the password learns nothing.
func TestRegisteringAgain(t *testing.T) {
	a := newAPI(t)
	post := func(cpf, name, password string) *httptest.ResponseRecorder {
		t.Helper()
		return a.do(request{
			method: "POST", path: "/api/account/register", body: fmt.Sprintf(`{"cpf":%q,"name":%q,"password":%q}`, cpf, name, password),
		})
	}
	const taken = `{"message":"CPF já cadastrado.","type":"INVALID_DOCUMENT"}`
	first := post(anaCPF, "Ana Souza", "s\u00e9nha123")
	if first.Code != 201 || first.Header().Get("Idempotency-Replayed") != "" {
		t.Fatalf("%d %v", first.Code, first.Header())
	}
	for _, again := range []*httptest.ResponseRecorder{
		post("529.982.247-25", " Ana\u00a0Souza", "se\u0301nha123"), // the same, spelled differently
		post(anaCPF, "Ana Souza", "s\u00e9nha123"),
	} {
		if a.want(again, 201, first.Body.String()); again.Header().Get("Idempotency-Replayed") != "true" {
			t.Errorf("not marked as a repetition: %v", again.Header())
		}
	}
	a.want(post(anaCPF, "Ana Souza", "outra-senha"), 400, taken)
	a.want(post(anaCPF, "Ana Lima", "s\u00e9nha123"), 400, taken)
	if n := a.count("customers"); n != 1 {
		t.Errorf("%d customers", n)
	}
	a.want(post(anaCPF, "Ana Souza", "outra-senha"), 400, taken)
	if rec := post(anaCPF, "Ana Souza", "s\u00e9nha123"); rec.Code != 429 {
		t.Errorf("the sixth try at a password: %d %s", rec.Code, rec.Body)
	}

	bia, token := a.register(biaCPF, "Bia")
	a.want(a.move(token, bia, "d", "1.00", "C"), 204, "")
	a.want(post(biaCPF, "Bia", password), 400, taken)
	const caioCPF = "12345678909"
	_, token = a.register(caioCPF, "Caio")
	a.want(a.deactivate(token, password), 204, "")
	a.want(post(caioCPF, "Caio", password), 400, taken)
}

// Two copies of one registration that arrive together open one account, and both succeed.
func TestRegisteringTwiceAtOnce(t *testing.T) {
	a := newAPI(t)
	answers := make([]*httptest.ResponseRecorder, 4)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			answers[i] = a.do(request{
				method: "POST", path: "/api/account/register", body: fmt.Sprintf(`{"cpf":%q,"name":"Ana","password":%q}`, anaCPF, password),
			})
		})
	}
	all.Wait()
	fresh := 0
	for _, rec := range answers {
		if a.want(rec, 201, answers[0].Body.String()); rec.Header().Get("Idempotency-Replayed") == "" {
			fresh++
		}
	}
	if fresh != 1 {
		t.Errorf("%d of %d answers claim to be the first", fresh, len(answers))
	}
}

// Names and passwords are the same however a keyboard composes their characters.
func TestTextsInOneForm(t *testing.T) {
	a := newAPI(t)
	const composed, decomposed = "s\u00e9nha123", "se\u0301nha123"
	body := func(name, password string) string {
		return fmt.Sprintf(`{"cpf":%q,"name":%q,"password":%q}`, anaCPF, name, password)
	}
	if rec := a.do(request{method: "POST", path: "/api/account/register", body: body("Ana\u3000Souza\u00a0", decomposed)}); rec.Code != 201 {
		t.Fatalf("register: %d %s", rec.Code, rec.Body)
	}
	for _, typed := range []string{composed, decomposed} {
		rec := a.do(request{method: "POST", path: "/api/account/login", body: fmt.Sprintf(`{"cpf":%q,"password":%q}`, anaCPF, typed)})
		if rec.Code != 200 || !strings.Contains(rec.Body.String(), `"name":"Ana Souza"`) {
			t.Errorf("login with %+q: %d %s", typed, rec.Code, rec.Body)
		}
	}
}

func TestStatement(t *testing.T) {
	a := newAPI(t)
	number, token := a.register(anaCPF, "Ana")
	for i := range 5 {
		a.want(a.move(token, number, fmt.Sprint("d", i), "1.00", "C"), 204, "")
	}
	type listing struct {
		Items []struct {
			ID           string    `json:"id"`
			Type         string    `json:"type"`
			Amount       string    `json:"amount"`
			BalanceAfter string    `json:"balance_after"`
			Kind         string    `json:"kind"`
			Counterparty *string   `json:"counterparty_account_number"`
			Name         *string   `json:"counterparty_name"`
			Description  string    `json:"description"`
			TransferID   *string   `json:"transfer_id"`
			CreatedAt    time.Time `json:"created_at"`
		} `json:"items"`
		NextCursor *string `json:"next_cursor"`
	}
	path, cursor := "/api/account/statement/?limit=2", ""
	var balances []string
	for {
		var page listing
		rec := a.do(request{method: "GET", path: path + cursor, token: token})
		if err := json.Unmarshal(rec.Body.Bytes(), &page, json.RejectUnknownMembers(true)); err != nil {
			t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
		}
		for _, m := range page.Items {
			balances = append(balances, m.BalanceAfter)
			if m.Kind != "deposit" || m.Type != "C" || m.Description != "Depósito" || m.Counterparty != nil || m.Name != nil || m.TransferID != nil {
				t.Errorf("item %+v", m)
			}
		}
		if page.NextCursor == nil {
			break
		}
		cursor = "&cursor=" + *page.NextCursor
	}
	if got := strings.Join(balances, " "); got != "5.00 4.00 3.00 2.00 1.00" {
		t.Errorf("balances %s", got)
	}
	today := time.Now().UTC().Format(time.DateOnly)
	if rec := a.do(request{method: "GET", path: "/api/account/statement?limit=1&from=" + today + "&to=" + today, token: token}); !strings.Contains(rec.Body.String(), `"balance_after":"5.00"`) {
		t.Errorf("today's statement: %s", rec.Body)
	}
	for nothing, period := range map[string]string{
		"from=2100-01-01T00:00:00Z&to=0001-01-01": `{"from":"2100-01-01T00:00:00Z","to":"0001-01-02T00:00:00Z","complete_until":"0001-01-02T00:00:00Z","opening_balance":"5.00","closing_balance":"5.00"}`,
		"to=0001-01-01T00:00:00Z":                 `{"from":null,"to":"0001-01-01T00:00:00Z","complete_until":"0001-01-01T00:00:00Z","opening_balance":"0.00","closing_balance":"0.00"}`,
	} {
		a.want(a.do(request{method: "GET", path: "/api/account/statement?" + nothing, token: token}), 200, `{"items":[],"next_cursor":null,"period":`+period+`}`)
	}
}

func TestIdempotency(t *testing.T) {
	for name, away := range map[string]bool{"with the memory": false, "without the memory": true} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t)
			a.state.gone = away
			number, token := a.register(anaCPF, "Ana")
			for _, id := range []string{"simples", "a||b", "a/b/../c", "ação-é-ü", "💰", strings.Repeat("é", 255)} {
				before := a.balance(token)
				first := a.move(token, number, id, "10.00", "C")
				again := a.move(token, number, id, `"10"`, "C") // the same amount, spelled differently
				if first.Code != 204 || again.Code != 204 || first.Header().Get("Idempotency-Replayed") != "" || again.Header().Get("Idempotency-Replayed") != "true" {
					t.Errorf("%q: %d %v, then %d %v", id, first.Code, first.Header(), again.Code, again.Header())
				}
				conflict := a.move(token, number, id, "10.01", "C")
				a.want(conflict, 422, `{"message":"A mesma chave de idempotência já foi usada com outros dados.","type":"IDEMPOTENCY_CONFLICT"}`)
				if after := a.balance(token); after == before {
					t.Errorf("%q: balance stays %s", id, before)
				}
			}
			if got := a.balance(token); got != "60.00" {
				t.Errorf("balance %s", got)
			}
			refused := a.move(token, number, "cara", "100.00", "D")
			a.want(a.move(token, number, "fundos", "1000.00", "C"), 204, "")
			again := a.move(token, number, "cara", "100.00", "D")
			a.want(again, refused.Code, refused.Body.String())
			if again.Code != 400 || again.Header().Get("Idempotency-Replayed") != "true" {
				t.Errorf("a refusal repeated: %d %v", again.Code, again.Header())
			}
		})
	}
}

func TestIdempotencyKeyHeader(t *testing.T) {
	a := newAPI(t)
	number, token := a.register(anaCPF, "Ana")
	body := fmt.Sprintf(`{"account_number":%q,"amount":5,"type":"C"}`, number)
	post := func(header, body string) *httptest.ResponseRecorder {
		return a.do(request{method: "POST", path: "/api/account/movement", token: token, body: body, header: http.Header{"Idempotency-Key": {header}}})
	}
	a.want(post("k-1", body), 204, "")
	if rec := post(`"k-1"`, body); rec.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("quoted: %d %v", rec.Code, rec.Header())
	}
	if rec := post("k-1", `{"request_id":"k-1",`+body[1:]); rec.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("both: %d %v", rec.Code, rec.Header())
	}
	a.want(post("k-1", `{"request_id":"k-2",`+body[1:]), 400, `{"message":"request_id e Idempotency-Key são diferentes.","type":"INVALID_ARGUMENT"}`)
}

// Bodies, amounts and request_ids are read by the rules of web.Decode, money and web.RequestID, whose tests have all the cases.
func TestBadInput(t *testing.T) {
	a := newAPI(t)
	number, token := a.register(anaCPF, "Ana")
	other, _ := a.register(biaCPF, "Bia")
	forged, err := tokensFor(t, strings.Repeat("x", 32)).Sign(accountapi.Claims{RegisteredClaims: a.tokens.Registered("id", time.Now())})
	if err != nil {
		t.Fatal(err)
	}
	expired, err := a.tokens.Sign(accountapi.Claims{RegisteredClaims: a.tokens.Registered("id", time.Now().Add(-2*time.Hour))})
	if err != nil {
		t.Fatal(err)
	}
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, accountapi.Claims{RegisteredClaims: a.tokens.Registered("id", time.Now())}).
		SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	const (
		invalidArgument = "INVALID_ARGUMENT"
		invalidValue    = "INVALID_VALUE"
		invalidDocument = "INVALID_DOCUMENT"
	)
	movement := func(change string) string {
		fields := map[string]string{"request_id": `"r"`, "account_number": `"` + number + `"`, "amount": `"1.00"`, "type": `"C"`}
		name, value, _ := strings.Cut(change, "=")
		if fields[name] = value; value == "" {
			delete(fields, name)
		}
		var members []string
		for k, v := range fields {
			members = append(members, fmt.Sprintf("%q:%s", k, v))
		}
		return "{" + strings.Join(members, ",") + "}"
	}
	register := func(cpf, name, password string) string {
		return fmt.Sprintf(`{"cpf":%q,"name":"%s","password":%q}`, cpf, name, password)
	}
	const (
		registering = "POST /api/account/register/"
		moving      = "POST /api/account/movement/"
		statement   = "GET /api/account/statement/"
	)
	movementsBefore := a.count("movements")
	for _, test := range []struct {
		name, route, body string
		status            int
		typ               string
		token             string
		header            http.Header
	}{
		{"malformed JSON", moving, `{"request_id":`, 400, invalidArgument, token, nil},
		{"unknown field", moving, movement(`x=1`), 400, invalidArgument, token, nil},
		{"wrong content type", moving, movement(""), 415, "UNSUPPORTED_MEDIA_TYPE", token, http.Header{"Content-Type": {"text/plain"}}},
		{"1 MiB", moving, movement(`request_id="` + strings.Repeat("x", 1<<20) + `"`), 413, "PAYLOAD_TOO_LARGE", token, nil},
		{"no request_id", moving, movement("request_id="), 400, invalidArgument, token, nil},
		{"request_id of 256", moving, movement(`request_id="` + strings.Repeat("x", 256) + `"`), 400, invalidArgument, token, nil},
		{"no amount", moving, movement("amount="), 400, invalidArgument, token, nil},
		{"amount null", moving, movement("amount=null"), 400, invalidArgument, token, nil},
		{"amount 0", moving, movement("amount=0"), 400, invalidValue, token, nil},
		{"amount 0.001", moving, movement("amount=0.001"), 400, invalidValue, token, nil},
		{"no type", moving, movement("type="), 400, invalidArgument, token, nil},
		{"type X", moving, movement(`type="X"`), 400, "INVALID_TYPE", token, nil},
		{"type c", moving, movement(`type="c"`), 400, "INVALID_TYPE", token, nil},
		{"no account", moving, movement("account_number="), 400, invalidArgument, token, nil},
		{"unknown account", moving, movement(`account_number="1"`), 400, "INVALID_ACCOUNT", token, nil},
		{"somebody else's account", moving, movement(`account_number="` + other + `"`), 403, "INVALID_OPERATION", token, nil},
		{"no token", moving, movement(""), 401, "USER_UNAUTHORIZED", "", nil},
		{"basic authentication", moving, movement(""), 401, "USER_UNAUTHORIZED", "", http.Header{"Authorization": {"Basic YTpi"}}},
		{"forged token", moving, movement(""), 403, "INVALID_TOKEN", forged, nil},
		{"expired token", moving, movement(""), 403, "INVALID_TOKEN", expired, nil},
		{"alg none", moving, movement(""), 403, "INVALID_TOKEN", none, nil},
		{"garbage token", moving, movement(""), 403, "INVALID_TOKEN", "a.b.c", nil},
		{"no token for the balance", "GET /api/account/balance", "", 401, "USER_UNAUTHORIZED", "", nil},
		{"no token for a statement", statement, "", 401, "USER_UNAUTHORIZED", "", nil},
		{"no token for exists", "GET /api/account/exists/1/", "", 401, "USER_UNAUTHORIZED", "", nil},
		{"limit 0", statement + "?limit=0", "", 400, invalidArgument, token, nil},
		{"bad cursor", statement + "?cursor=%21%21", "", 400, invalidArgument, token, nil},
		{"cursor of something else", statement + "?cursor=YWJj", "", 400, invalidArgument, token, nil},
		{"cursor with a sign", statement + "?cursor=KzU", "", 400, invalidArgument, token, nil},
		{"cursor with a leading zero", statement + "?cursor=MDU", "", 400, invalidArgument, token, nil},
		{"empty to", statement + "?to=", "", 400, invalidArgument, token, nil},
		{"two keys", moving, movement(""), 400, invalidArgument, token, http.Header{"Idempotency-Key": {"1", "2"}}},
		{"bad from", statement + "?from=ontem", "", 400, invalidArgument, token, nil},
		{"CPF with a wrong check digit", registering, register("52998224724", "Ana", password), 400, invalidDocument, "", nil},
		{"CPF of one digit", registering, register("11111111111", "Ana", password), 400, invalidDocument, "", nil},
		{"CPF too short", registering, register("123", "Ana", password), 400, invalidDocument, "", nil},
		{"CPF taken, formatted", registering, register("529.982.247-25", "Ana", "outra-senha"), 400, invalidDocument, "", nil},
		{"name of one character", registering, register("12345678909", "A", password), 400, invalidArgument, "", nil},
		{"name of 101 characters", registering, register("12345678909", strings.Repeat("é", 101), password), 400, invalidArgument, "", nil},
		{"name with a control character", registering, register("12345678909", `A\u0007na`, password), 400, invalidArgument, "", nil},
		{"name of invisible characters", registering, register("12345678909", `\u200b\u202eAna`, password), 400, invalidArgument, "", nil},
		{"name of spaces", registering, register("12345678909", "    ", password), 400, invalidArgument, "", nil},
		{"password of 5", registering, register("12345678909", "Ana", "12345"), 400, invalidArgument, "", nil},
		{"password of 129", registering, register("12345678909", "Ana", strings.Repeat("x", 129)), 400, invalidArgument, "", nil},
		{"no password", registering, `{"cpf":"12345678909","name":"Ana"}`, 400, invalidArgument, "", nil},
		{"login without password", "POST /api/account/login", `{"cpf":"12345678909"}`, 400, invalidArgument, "", nil},
		{"login of nobody", "POST /api/account/login", `{"cpf":"12345678909","password":"senha123"}`, 401, "USER_UNAUTHORIZED", "", nil},
		{"login with a CPF that is none", "POST /api/account/login", `{"cpf":"x","password":"senha123"}`, 401, "USER_UNAUTHORIZED", "", nil},
		{"wrong method", "DELETE /api/account/balance", "", 405, "METHOD_NOT_ALLOWED", token, nil},
		{"no such path", "GET /api/account/nothing", "", 404, "NOT_FOUND", token, nil},
		{"double slash", "POST //internal/movements", "{}", 404, "NOT_FOUND", "", nil},
		{"climbing path", "POST /api/../internal/movements", "{}", 404, "NOT_FOUND", "", nil},
		{"encoded slash", "POST /api%2F..%2Finternal/movements", "{}", 404, "NOT_FOUND", "", nil},
		{"internal without the app token", "POST /internal/movements", "{}", 403, "INVALID_TOKEN", "", nil},
		{"internal with a wrong app token", "POST /internal/movements", "{}", 403, "INVALID_TOKEN", "", http.Header{"Dapr-Api-Token": {"x"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			method, path, _ := strings.Cut(test.route, " ")
			rec := a.do(request{method: method, path: path, token: test.token, body: test.body, header: test.header})
			var body struct {
				Message string `json:"message"`
				Type    string `json:"type"`
			}
			err := json.Unmarshal(rec.Body.Bytes(), &body, json.RejectUnknownMembers(true))
			if err != nil || rec.Code != test.status || body.Type != test.typ || body.Message == "" || rec.Header().Get("X-Request-ID") == "" {
				t.Errorf("got %d %s %v, want %d %s", rec.Code, rec.Body, rec.Header(), test.status, test.typ)
			}
		})
	}
	a.memory.Close()
	if a.count("movements") != movementsBefore || a.count("refusals") != 0 || a.count("customers") != 2 || len(a.state.data) != 0 {
		t.Errorf("bad input left a trace: %d movements, %d refusals, %d customers, %d remembered answers",
			a.count("movements"), a.count("refusals"), a.count("customers"), len(a.state.data))
	}
}

func (a *api) count(table string) (n int) {
	a.t.Helper()
	if err := a.db.Read().QueryRowContext(a.t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		a.t.Fatal(err)
	}
	return n
}

func TestTooManyLogins(t *testing.T) {
	a := newAPI(t)
	a.register(anaCPF, "Ana") // one login
	for i := range 5 {
		cpf := []string{anaCPF, "529.982.247-25"}[i%2]
		rec := a.do(request{method: "POST", path: "/api/account/login", body: fmt.Sprintf(`{"cpf":%q,"password":"errada"}`, cpf)})
		if want := map[bool]int{true: 401, false: 429}[i < 4]; rec.Code != want {
			t.Errorf("attempt %d: %d %s", i, rec.Code, rec.Body)
		}
		if rec.Code == 429 && rec.Header().Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	a.register(biaCPF, "Bia") // others are not affected
}

func TestTooManyDeactivations(t *testing.T) {
	a := newAPI(t)
	_, token := a.register(anaCPF, "Ana")
	for i := range 6 {
		rec := a.do(request{method: "PUT", path: "/api/account/deactivate", token: token, body: `{"password":"errada"}`})
		if want := map[bool]int{true: 401, false: 429}[i < 5]; rec.Code != want {
			t.Errorf("attempt %d: %d %s", i, rec.Code, rec.Body)
		}
	}
}

// A command with text that a database refuses fails alone; its neighbours do not. Unknown fields, which a newer service may
// send, are ignored.
func TestLedgerOperationWithTextThatCannotBeStored(t *testing.T) {
	a := newAPI(t)
	ana, token := a.register(anaCPF, "Ana")
	a.want(a.move(token, ana, "d", "100.00", "C"), 204, "")
	fee := accountapi.Movement{
		RequestID: "t:fee", AccountNumber: ana, Type: accountapi.Debit, Kind: accountapi.KindFee, Amount: 200, TransferID: "t",
	}
	in := accountapi.Movements{Commands: []accountapi.Movement{fee}}
	long := strings.Repeat("é", 256)
	for _, harm := range []func(*accountapi.Movement){
		func(m *accountapi.Movement) { m.RequestID += long },
		func(m *accountapi.Movement) { m.AccountNumber += long },
		func(m *accountapi.Movement) { m.TransferID += long },
		func(m *accountapi.Movement) { m.Counterparty += long },
		func(m *accountapi.Movement) { m.Description += long },
		func(m *accountapi.Movement) { m.TransferRequestID += long },
		func(m *accountapi.Movement) { m.TransferFingerprint += long },
		func(m *accountapi.Movement) { m.RequestID += "\x00" },
		func(m *accountapi.Movement) { m.AccountNumber += "\x00" },
		func(m *accountapi.Movement) { m.TransferID += "\x00" },
		func(m *accountapi.Movement) { m.Counterparty += "\x00" },
		func(m *accountapi.Movement) { m.Description += "\x00" },
		func(m *accountapi.Movement) { m.TransferRequestID += "\x00" },
		func(m *accountapi.Movement) { m.TransferFingerprint += "\x00" },
	} {
		bad := fee
		bad.RequestID = fmt.Sprint("bad ", len(in.Commands))
		harm(&bad)
		in.Commands = append(in.Commands, bad)
	}
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.Replace(string(body), `{"commands":[{`, `{"from":"the future","commands":[{"from":"the future",`, 1)
	rec := a.do(request{method: "POST", path: accountapi.MovementsPath, body: newer, header: http.Header{"Dapr-Api-Token": {appToken}}})
	var out accountapi.MovementResults
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil || len(out.Results) != len(in.Commands) {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	for i, result := range out.Results {
		want := accountapi.StatusRejected
		if i == 0 { // the only command whose texts a database accepts
			want = accountapi.StatusApplied
		}
		if result.Status != want {
			t.Errorf("command %d: %+v, want %s", i, result, want)
		}
	}
}

func TestLedgerOperation(t *testing.T) {
	a := newAPI(t)
	ana, token := a.register(anaCPF, "Ana")
	bia, _ := a.register(biaCPF, "Bia")
	a.want(a.move(token, ana, "d", "100.00", "C"), 204, "")
	debit := accountapi.Movement{
		RequestID: "t1:debit", AccountNumber: ana, Type: accountapi.Debit, Kind: accountapi.KindTransfer, Amount: 6000,
		TransferID: "t1", Counterparty: bia,
	}
	with := func(change func(*accountapi.Movement)) accountapi.Movement { m := debit; change(&m); return m }
	post := func(commands ...accountapi.Movement) *httptest.ResponseRecorder {
		body, err := json.Marshal(accountapi.Movements{Commands: commands})
		if err != nil {
			t.Fatal(err)
		}
		return a.do(request{method: "POST", path: accountapi.MovementsPath, body: string(body), header: http.Header{"Dapr-Api-Token": {appToken}}})
	}
	a.want(post(
		debit, with(func(m *accountapi.Movement) { m.TransferRequestID, m.TransferFingerprint = "r", "f" }),
		with(func(m *accountapi.Movement) { m.RequestID = "t2:debit"; m.TransferID = "t2" }),
		with(func(m *accountapi.Movement) { m.Amount = 1 }),
		with(func(m *accountapi.Movement) { m.RequestID = "t3:debit"; m.Counterparty = "1" }),
		with(func(m *accountapi.Movement) {
			m.RequestID = "x"
			m.Kind, m.Type = string(ledger.Deposit), accountapi.Credit
		}),
	), 200, `{"results":[{"status":"applied"},{"status":"applied","replayed":true},`+
		`{"status":"refused","type":"INSUFFICIENT_BALANCE","message":"Saldo insuficiente."},`+
		`{"status":"rejected","type":"IDEMPOTENCY_CONFLICT","message":"A mesma chave de idempotência já foi usada com outros dados."},`+
		`{"status":"refused","type":"INVALID_ACCOUNT","message":"Conta não encontrada."},`+
		`{"status":"rejected","type":"INVALID_ARGUMENT","message":"Comando de movimentação inválido."}]}`)
	if got := a.balance(token); got != "40.00" {
		t.Errorf("balance %s", got)
	}
	a.want(post(), 400, `{"message":"O lote deve ter de 1 a 256 comandos.","type":"INVALID_ARGUMENT"}`)
	a.want(post(make([]accountapi.Movement, 257)...), 400, `{"message":"O lote deve ter de 1 a 256 comandos.","type":"INVALID_ARGUMENT"}`)
}

// A customer's key never equals a service's, whatever request id the customer chooses.
func TestCustomersAndServicesShareNoKeys(t *testing.T) {
	a := newAPI(t)
	ana, token := a.register(anaCPF, "Ana")
	a.want(a.move(token, ana, "t1:fee", "100.00", "C"), 204, "")
	body := fmt.Sprintf(`{"commands":[{"request_id":"t1:fee","account_number":%q,"type":"D","kind":"fee","amount":"2.00","transfer_id":"t1"}]}`, ana)
	a.want(a.do(request{method: "POST", path: accountapi.MovementsPath, body: body, header: http.Header{"Dapr-Api-Token": {appToken}}}),
		200, `{"results":[{"status":"applied"}]}`)
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
