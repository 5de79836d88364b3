package httpapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

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
