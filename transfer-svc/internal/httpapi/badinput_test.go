package httpapi_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

const (
	badValueBody      = `{"message":"Valor inválido: use um número positivo com até duas casas decimais.","type":"INVALID_VALUE"}`
	malformedBody     = `{"message":"JSON malformado.","type":"INVALID_ARGUMENT"}`
	badAccountBody    = `{"message":"Conta não encontrada.","type":"INVALID_ACCOUNT"}`
	badRequestIDBody  = `{"message":"request_id deve ter de 1 a 255 caracteres visíveis.","type":"INVALID_ARGUMENT"}`
	noTokenBody       = `{"message":"Autenticação necessária.","type":"USER_UNAUTHORIZED"}`
	badTokenBody      = `{"message":"Token inválido ou expirado.","type":"INVALID_TOKEN"}`
	unknownRouteBody  = `{"message":"Recurso não encontrado.","type":"NOT_FOUND"}`
	wrongMethodBody   = `{"message":"Método não permitido.","type":"METHOD_NOT_ALLOWED"}`
	mediaBody         = `{"message":"Use Content-Type: application/json.","type":"UNSUPPORTED_MEDIA_TYPE"}`
	tooLargeBody      = `{"message":"Corpo da requisição grande demais.","type":"PAYLOAD_TOO_LARGE"}`
	missingAmountBody = `{"message":"Campo obrigatório: amount.","type":"INVALID_ARGUMENT"}`
)

// wantNoTrace checks that no request has reached the database, the ledger or the memory.
func (a *api) wantNoTrace() {
	a.t.Helper()
	for _, party := range []transfer.Party{{AccountID: "ana", AccountNumber: "11"}, {AccountID: "", AccountNumber: ""}} {
		if found, err := a.transfers.List(a.t.Context(), party, "", 1); err != nil || len(found) != 0 {
			a.t.Errorf("in the database: %v, %v", found, err)
		}
	}
	if len(a.ledger.Movements()) != 0 || a.state.len() != 0 {
		a.t.Errorf("%d movements, %d remembered answers", len(a.ledger.Movements()), a.state.len())
	}
}

// A transfer reads its body by the rules of web.Decode, money and web.RequestID, whose tests have all the cases.
func TestBadBodies(t *testing.T) {
	a := newAPI(t)
	missing := func(field string) string {
		return `{"message":"Campo obrigatório: ` + field + `.","type":"INVALID_ARGUMENT"}`
	}
	long := strings.Repeat("x", 256)
	for _, test := range []struct {
		body   string
		status int
		want   string
	}{
		{`{`, 400, malformedBody},
		{`{}`, 400, missing("request_id")},
		{`{"request_id":"1","destination_account_number":"22","amount":1,"fee":0}`, 400, `{"message":"Campo desconhecido: fee.","type":"INVALID_ARGUMENT"}`},
		{`{"request_id":"1","amount":1}`, 400, missing("destination_account_number")},
		{`{"request_id":"1","destination_account_number":"22"}`, 400, missingAmountBody},
		{body("1", "22", `null`), 400, missingAmountBody},
		{`{"destination_account_number":"22","amount":1}`, 400, missing("request_id")},
		{body("", "22", `1`), 400, missing("request_id")},
		{body("   ", "22", `1`), 400, badRequestIDBody},
		{body(long, "22", `1`), 400, badRequestIDBody},
		{body("1", "22", `0`), 400, badValueBody},
		{body("1", "22", `0.001`), 400, badValueBody},
		{body("1", "2x", `1`), 400, badAccountBody},
		{body("1", "12345678901", `1`), 400, badAccountBody},
		{body("1", " 22", `1`), 400, badAccountBody},
		{body("1", "11", `1`), 400, `{"message":"A conta de destino deve ser diferente da conta de origem.","type":"INVALID_TRANSFER"}`},
		{`{"request_id":"` + strings.Repeat("x", 1<<20) + `"}`, 413, tooLargeBody},
	} {
		what := test.body
		if len(what) > 100 {
			what = what[:100]
		}
		a.want(what, a.send(test.body), test.status, test.want)
	}
	a.wantNoTrace()
}

func TestBadHeaders(t *testing.T) {
	a := newAPI(t)
	good := body("1", "22", `1`)
	post := func(header map[string]string) answer {
		return a.do(request{method: "POST", path: "/api/transfer/", body: good, as: &ana, header: header})
	}
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", ";;"} {
		a.want("Content-Type "+media, post(map[string]string{"Content-Type": media}), http.StatusUnsupportedMediaType, mediaBody)
	}
	a.want("empty body", a.do(request{method: "POST", path: "/api/transfer/", as: &ana, header: map[string]string{"Content-Type": "application/json"}}),
		http.StatusBadRequest, malformedBody)
	a.want("another key in the header", post(map[string]string{"Idempotency-Key": "2"}), http.StatusBadRequest,
		`{"message":"request_id e Idempotency-Key são diferentes.","type":"INVALID_ARGUMENT"}`)
	a.wantNoTrace()
}

func TestBadTokens(t *testing.T) {
	a := newAPI(t)
	none := `{"alg":"none","typ":"JWT","kid":"default"}`
	unsigned := func(header string) string {
		parts := strings.Split(a.token(ana), ".")
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + parts[1] + "."
	}
	forged := sign(t, tokensFor(t, strings.Repeat("f", 32), time.Hour), ana)
	expired := sign(t, tokensFor(t, secret, -time.Minute), ana)
	for _, test := range []struct {
		authorization string
		status        int
		want          string
	}{
		{"", 401, noTokenBody},
		{"Bearer", 401, noTokenBody},
		{"Basic YTpi", 401, noTokenBody},
		{"Bearer x", 403, badTokenBody},
		{"Bearer " + forged, 403, badTokenBody},
		{"Bearer " + expired, 403, badTokenBody},
		{"Bearer " + unsigned(none), 403, badTokenBody},
		{"Bearer " + a.token(ana) + "x", 403, badTokenBody},
	} {
		header := map[string]string{"Authorization": test.authorization}
		for _, r := range []request{
			{method: "POST", path: "/api/transfer/", body: body("1", "22", `1`)},
			{method: "GET", path: "/api/transfer/list/"},
			{method: "GET", path: "/api/transfer/019ab0f2-5a3e-7c41-9d3b-2f6f0c9e8a11/"},
		} {
			r.header = header
			a.want(r.method+" "+r.path+" "+test.authorization, a.do(r), test.status, test.want)
		}
	}
	a.wantNoTrace()
}

func TestBadPathsAndMethods(t *testing.T) {
	a := newAPI(t)
	for _, path := range []string{
		"/", "/api", "/internal", "//internal", "/internal/movements", "/api/../internal", "/api/transfers/", "/api/transfer/x/y/",
		"/api/transfer/list/x/", "/api/transfer/a%2fb/", "/dapr/subscribe",
	} {
		a.want(path, a.get(path, ana), http.StatusNotFound, unknownRouteBody)
	}
	for _, r := range []request{
		{method: "GET", path: "/api/transfer/"}, {method: "PUT", path: "/api/transfer"}, {method: "DELETE", path: "/api/transfer/x/"},
		{method: "POST", path: "/api/transfer/list/"},
	} {
		r.as = &ana
		a.want(r.method+" "+r.path, a.do(r), http.StatusMethodNotAllowed, wrongMethodBody)
	}
	a.wantNoTrace()
}
