package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"

	"github.com/bankmore/bankmore/account-svc/accountapi"
)

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
