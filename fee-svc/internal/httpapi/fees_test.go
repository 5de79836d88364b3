package httpapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
)

// feeID returns the id of the n-th seeded fee. The ids are ordered by time.
func feeID(n int) string      { return fmt.Sprintf("0190f3a1-7c00-7000-8000-%012d", n) }
func transferID(n int) string { return fmt.Sprintf("0190f3a1-7b00-7000-8000-%012d", n) }

// seed stores fees 1 (charged), 2 (pending), 3 (waiting for balance), 4 (waived) of Ana and 5 (pending) of Bia.
func seed(t *testing.T, s *edge) {
	t.Helper()
	now := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	s.db.SetClock(func() time.Time { return now })
	for i, account := range []string{ana, ana, ana, ana, bia} {
		f := fee.Fee{ID: feeID(i + 1), TransferID: transferID(i + 1), AccountNumber: account, Amount: 200, Status: fee.Pending}
		if _, err := s.store.Add(t.Context(), []fee.Fee{f}); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
	}
	now = now.Add(55 * time.Second)
	_, err := s.store.Settle(t.Context(), []fee.Settlement{
		{ID: feeID(1), Attempt: 1, Status: fee.Charged, Next: 1},
		{ID: feeID(3), Attempt: 1, Status: fee.Pending, Reason: fee.ReasonInsufficientBalance, Next: 2},
		{ID: feeID(4), Attempt: 1, Status: fee.Waived, Reason: fee.ReasonInactiveAccount, Next: 1},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

const (
	item1 = `{"id":"0190f3a1-7c00-7000-8000-000000000001","transfer_id":"0190f3a1-7b00-7000-8000-000000000001",` +
		`"account_number":"7907027952","amount":"2.00","type":"transfer","status":"CHARGED",` +
		`"description":"Tarifa de transferência","created_at":"2026-01-02T03:04:05.678901Z","charged_at":"2026-01-02T03:05:05.678901Z"}`
	item2 = `{"id":"0190f3a1-7c00-7000-8000-000000000002","transfer_id":"0190f3a1-7b00-7000-8000-000000000002",` +
		`"account_number":"7907027952","amount":"2.00","type":"transfer","status":"PENDING",` +
		`"description":"Tarifa de transferência","created_at":"2026-01-02T03:04:06.678901Z","charged_at":null}`
	item3 = `{"id":"0190f3a1-7c00-7000-8000-000000000003","transfer_id":"0190f3a1-7b00-7000-8000-000000000003",` +
		`"account_number":"7907027952","amount":"2.00","type":"transfer","status":"PENDING",` +
		`"description":"Tarifa de transferência: aguardando saldo","created_at":"2026-01-02T03:04:07.678901Z","charged_at":null}`
	item4 = `{"id":"0190f3a1-7c00-7000-8000-000000000004","transfer_id":"0190f3a1-7b00-7000-8000-000000000004",` +
		`"account_number":"7907027952","amount":"2.00","type":"transfer","status":"WAIVED",` +
		`"description":"Tarifa de transferência dispensada: conta inativa","created_at":"2026-01-02T03:04:08.678901Z","charged_at":null}`
	all = `{"items":[` + item4 + "," + item3 + "," + item2 + "," + item1 + `],"next_cursor":null}`

	errForeign  = `{"message":"Operação não permitida: a tarifa é de outra conta.","type":"INVALID_OPERATION"}`
	errNotFound = `{"message":"Tarifa não encontrada.","type":"INVALID_OPERATION"}`
	errLimit    = `{"message":"limit deve ser um número de 1 a 100.","type":"INVALID_ARGUMENT"}`
	errCursor   = `{"message":"Cursor inválido.","type":"INVALID_ARGUMENT"}`
	errQuery    = `{"message":"Parâmetros malformados.","type":"INVALID_ARGUMENT"}`
	errNoRoute  = `{"message":"Recurso não encontrado.","type":"NOT_FOUND"}`
	errToken    = `{"message":"Token inválido ou expirado.","type":"INVALID_TOKEN"}`
	errNoToken  = `{"message":"Autenticação necessária.","type":"USER_UNAUTHORIZED"}`
	errMethod   = `{"message":"Método não permitido.","type":"METHOD_NOT_ALLOWED"}`
)

func TestFees(t *testing.T) {
	s := newEdge(t, 200)
	seed(t, s)
	const none = `{"items":[],"next_cursor":null}`
	for _, test := range []struct {
		path   string
		status int
		body   string
	}{
		{"/api/fee/my/", 200, all},
		{"/api/fee/my", 200, all},
		{"/api/fee/my/?limit=100", 200, all},
		{"/api/fee/7907027952/", 200, all},
		{"/api/fee/7907027952", 200, all},
		{"/api/fee/detail/" + feeID(1) + "/", 200, item1},
		{"/api/fee/detail/" + feeID(2), 200, item2},
		{"/api/fee/detail/" + feeID(3), 200, item3},
		{"/api/fee/detail/" + feeID(4), 200, item4},

		{"/api/fee/18/", 403, errForeign},
		{"/api/fee/9999999999/", 403, errForeign},
		{"/api/fee/07907027952/", 403, errForeign},
		{"/api/fee/7907027952%20/", 403, errForeign},
		{"/api/fee/detail/", 403, errForeign}, // read as a list of an account with the number "detail"
		{"/api/fee/my%2F/", 404, errNoRoute},
		{"/api/fee/detail/" + feeID(5) + "/", 403, errForeign},
		{"/api/fee/detail/" + feeID(6) + "/", 404, errNotFound},
		{"/api/fee/detail/" + transferID(1) + "/", 404, errNotFound},
		{"/api/fee/detail/1/", 404, errNotFound},
		{"/api/fee/detail/%00/", 404, errNotFound},
		{"/api/fee/detail/{" + feeID(1) + "}/", 404, errNotFound},
		{"/api/fee/detail/" + strings.ToUpper(feeID(1)) + "/", 404, errNotFound},
		{"/api/fee/detail/my/x/", 404, errNoRoute},
		{"/api/fee/", 404, errNoRoute},
		{"/api/fees/", 404, errNoRoute},

		{"/api/fee/my/?limit=0", 400, errLimit},
		{"/api/fee/my/?limit=101", 400, errLimit},
		{"/api/fee/my/?limit=", 400, errLimit},
		{"/api/fee/my/?limit=1e1", 400, errLimit},
		{"/api/fee/7907027952/?limit=x", 400, errLimit},
		{"/api/fee/my/?cursor=!", 400, errCursor},
		{"/api/fee/my/?cursor=" + cursorOf("x"), 400, errCursor},
		{"/api/fee/my/?cursor=" + cursorOf("' OR 1=1"), 400, errCursor},
		{"/api/fee/my/?cursor=%zz", 400, errQuery},
		{"/api/fee/my/?cursor=" + cursorOf(feeID(1)), 200, none},
	} {
		status, body := s.get(ana, test.path)
		if status != test.status {
			t.Errorf("%s: status %d, want %d", test.path, status, test.status)
		}
		if diff := cmp.Diff(test.body, body); diff != "" {
			t.Errorf("%s: %s", test.path, diff)
		}
	}
}

func TestPagesHoldEachFeeOnce(t *testing.T) {
	s := newEdge(t, 200)
	seed(t, s)
	want := []string{feeID(4), feeID(3), feeID(2), feeID(1)}
	for _, path := range []string{"/api/fee/my/", "/api/fee/7907027952/"} {
		for limit := 1; limit <= 5; limit++ {
			var got []string
			for cursor := ""; ; {
				status, body := s.get(ana, fmt.Sprintf("%s?limit=%d%s", path, limit, cursor))
				var page struct {
					Items []struct {
						ID string `json:"id"`
					} `json:"items"`
					NextCursor string `json:"next_cursor"`
				}
				if err := json.Unmarshal([]byte(body), &page); err != nil || status != 200 {
					t.Fatalf("%d %s: %v", status, body, err)
				}
				for _, item := range page.Items {
					got = append(got, item.ID)
				}
				if page.NextCursor == "" {
					break
				}
				cursor = "&cursor=" + page.NextCursor
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s by %d: %v", path, limit, got)
			}
		}
	}
}

func TestEveryRouteWantsAToken(t *testing.T) {
	s := newEdge(t, 200)
	seed(t, s)
	unsigned := "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJhY2NvdW50X251bWJlciI6Ijc5MDcwMjc5NTIifQ."
	for _, path := range []string{"/api/fee/my/", "/api/fee/7907027952/", "/api/fee/detail/" + feeID(1) + "/"} {
		for name, test := range map[string]struct {
			authorization string
			status        int
			body          string
		}{
			"none":      {"", 401, errNoToken},
			"basic":     {"Basic YTpi", 401, errNoToken},
			"empty":     {"Bearer ", 401, errNoToken},
			"garbage":   {"Bearer x", 403, errToken},
			"alg none":  {"Bearer " + unsigned, 403, errToken},
			"expired":   {"Bearer " + s.token(ana, -time.Minute), 403, errToken},
			"forged":    {"Bearer " + s.token(ana, time.Hour) + "x", 403, errToken},
			"app token": {"Bearer " + appToken, 403, errToken},
		} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Header.Set("Authorization", test.authorization)
			r.Header.Set("dapr-api-token", appToken)
			status, body, header := s.do(r)
			if status != test.status || body != test.body {
				t.Errorf("%s with %s: %d %s", path, name, status, body)
			}
			if status == 401 && header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s with %s: no WWW-Authenticate", path, name)
			}
		}
	}
}

func TestMethods(t *testing.T) {
	s := newEdge(t, 200)
	for _, path := range []string{"/api/fee/my/", "/api/fee/7907027952/", "/api/fee/detail/" + feeID(1) + "/"} {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("{}"))
		r.Header.Set("Authorization", "Bearer "+s.token(ana, time.Hour))
		if status, body, _ := s.do(r); status != 405 || body != errMethod {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestDatabaseAway(t *testing.T) {
	s := newEdge(t, 200)
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	const want = `{"message":"Serviço temporariamente indisponível. Código para o suporte: req-1","type":"INTERNAL_ERROR"}`
	for _, path := range []string{"/api/fee/my/", "/api/fee/7907027952/", "/api/fee/detail/" + feeID(1) + "/"} {
		if status, body := s.get(ana, path); status != 503 || body != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}
