package httpapi_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/accountapi/accounttest"
)

const (
	notFoundBody = `{"message":"Transferência não encontrada.","type":"INVALID_TRANSFER"}`
	notPartyBody = `{"message":"A transferência pertence a outras contas.","type":"INVALID_OPERATION"}`
)

func TestDetail(t *testing.T) {
	a := newAPI(t)
	completed := a.field(a.send(body("pedido 1", "22", `150`)).body, "transfer_id")
	item := func(requestID string) *regexp.Regexp {
		return regexp.MustCompile(`^\{"id":"` + completed + `","request_id":` + requestID + `,"origin_account_number":"11",` +
			`"destination_account_number":"22","amount":"150.00","status":"COMPLETED","failure_type":null,` +
			`"created_at":"20\d\d-\d\d-\d\dT[0-9:.]+Z","completed_at":"20\d\d-\d\d-\d\dT[0-9:.]+Z"\}$`)
	}
	for _, path := range []string{"/api/transfer/" + completed + "/", "/api/transfer/" + completed} {
		for _, test := range []struct {
			party accountapi.Claims
			want  *regexp.Regexp
		}{{ana, item(`"pedido 1"`)}, {bia, item(`null`)}} { // the request id is the sender's business
			if got := a.get(path, test.party); got.status != http.StatusOK || !test.want.MatchString(got.body) {
				t.Errorf("%s as %s: %d %s", path, test.party.Subject, got.status, got.body)
			}
		}
		a.want("a stranger", a.get(path, caio), http.StatusForbidden, notPartyBody)
	}
	a.send(body("2", "22", `1000`)) // refused
	var page struct {
		Items []map[string]any `json:"items"`
	}
	if err := json.Unmarshal([]byte(a.get("/api/transfer/list", ana).body), &page); err != nil {
		t.Fatal(err)
	}
	refused := page.Items[0]
	if refused["status"] != "FAILED" || refused["failure_type"] != "INSUFFICIENT_BALANCE" || refused["completed_at"] != nil {
		t.Errorf("refused: %v", refused)
	}
	path := fmt.Sprint("/api/transfer/", refused["id"], "/")
	a.want("the destination of a failed transfer", a.get(path, bia), http.StatusForbidden, notPartyBody)

	for _, id := range []string{
		strings.ToUpper(completed), strings.ReplaceAll(completed, "-", ""), "%7B" + completed + "%7D", // the same UUID in other forms
		"019ab0f2-5a3e-7c41-9d3b-2f6f0c9e8a11", "x", "1", "%2e%2e", "%00", "%27%3B%20DROP%20TABLE%20transfers%3B%20--",
	} {
		a.want(id, a.get("/api/transfer/"+id+"/", ana), http.StatusNotFound, notFoundBody)
	}
}

func TestDetailOfPending(t *testing.T) { synctest.Test(t, testDetailOfPending) }

func testDetailOfPending(t *testing.T) {
	a := newAPI(t)
	a.ledger.OnMove(func(accountapi.Movement) accounttest.Fault { return accounttest.LostAnswer })
	id := a.field(a.send(body("1", "22", `150`)).body, "transfer_id")
	a.want("the destination of a pending transfer", a.get("/api/transfer/"+id+"/", bia), http.StatusForbidden, notPartyBody)
	if got := a.get("/api/transfer/list/", bia); got.body != `{"items":[],"next_cursor":null}` {
		t.Errorf("the destination's list: %s", got.body)
	}
	if status := a.field(a.get("/api/transfer/"+id+"/", ana).body, "status"); status != "PENDING" {
		t.Errorf("status %s", status)
	}
}

func TestList(t *testing.T) {
	a := newAPI(t)
	a.want("empty", a.get("/api/transfer/list/", ana), http.StatusOK, `{"items":[],"next_cursor":null}`)
	a.ledger.Change("22", func(account *accounttest.Account) { account.Balance = 100000 })
	var sent []string // what Ana sees, oldest first
	for i := range 7 {
		sent = append(sent, a.field(a.send(body(fmt.Sprint(i), "22", `1`)).body, "transfer_id"))
		got := a.do(request{method: "POST", path: "/api/transfer/", body: body(fmt.Sprint(i), "11", `1`), as: &bia})
		sent = append(sent, a.field(got.body, "transfer_id"))
		a.do(request{method: "POST", path: "/api/transfer/", body: body(fmt.Sprint("foreign ", i), "44", `1`), as: &bia})
	}
	slices.Reverse(sent)
	for _, limit := range []int{1, 3, 14, 100} {
		var listed []string
		path := fmt.Sprintf("/api/transfer/list/?limit=%d", limit)
		for next := path; next != ""; {
			var page struct {
				Items []struct {
					ID string `json:"id"`
				} `json:"items"`
				NextCursor *string `json:"next_cursor"`
			}
			got := a.get(next, ana)
			if err := json.Unmarshal([]byte(got.body), &page); err != nil || got.status != http.StatusOK || len(page.Items) > limit {
				t.Fatalf("%s: %d %s", next, got.status, got.body)
			}
			for _, item := range page.Items {
				listed = append(listed, item.ID)
			}
			next = ""
			if page.NextCursor != nil {
				next = path + "&cursor=" + *page.NextCursor
			}
		}
		if diff := cmp.Diff(sent, listed); diff != "" {
			t.Errorf("limit %d (-want +got):\n%s", limit, diff)
		}
	}
	a.want("a stranger", a.get("/api/transfer/list", claims("dora", "99")), http.StatusOK, `{"items":[],"next_cursor":null}`)
}

func TestBadPages(t *testing.T) {
	a := newAPI(t)
	cursor := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	const badCursor = `{"message":"Cursor inválido.","type":"INVALID_ARGUMENT"}`
	const badLimit = `{"message":"limit deve ser um número de 1 a 100.","type":"INVALID_ARGUMENT"}`
	for query, want := range map[string]string{
		"cursor=%21":            badCursor,
		"cursor=" + cursor("x"): badCursor,
		"cursor=" + cursor("019AB0F2-5a3e-7c41-9d3b-2f6f0c9e8a11"):          badCursor,
		"cursor=" + cursor("urn:uuid:019ab0f2-5a3e-7c41-9d3b-2f6f0c9e8a11"): badCursor,
		"limit=0":                      badLimit,
		"limit=101":                    badLimit,
		"limit=":                       badLimit,
		"limit=1e1":                    badLimit,
		"limit=-1":                     badLimit,
		"limit=%zz":                    `{"message":"Parâmetros malformados.","type":"INVALID_ARGUMENT"}`,
		"limit=9999999999999999999999": badLimit,
	} {
		a.want(query, a.get("/api/transfer/list/?"+query, ana), http.StatusBadRequest, want)
	}
}
