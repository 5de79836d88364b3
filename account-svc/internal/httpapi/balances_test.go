package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/account-svc/accountapi"
)

// Another service asks about many accounts at once. A question that makes no sense does not fail the others.
func TestBalances(t *testing.T) {
	a := newAPI(t)
	ana, token := a.register(anaCPF, "Ana")
	bia, biaToken := a.register(biaCPF, "Bia")
	a.want(a.move(token, ana, "d", "100.00", "C"), 204, "")
	internal := http.Header{"Dapr-Api-Token": {appToken}}
	post := func(path, body string) string {
		rec := a.do(request{method: "POST", path: path, body: body, header: internal})
		if rec.Code != 200 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		return rec.Body.String()
	}
	post(accountapi.MovementsPath, fmt.Sprintf(`{"commands":[
		{"request_id":"t1:fee","account_number":%[1]q,"type":"D","kind":"fee","amount":"2.00","transfer_id":"t1"},
		{"request_id":"t2:fee","account_number":%[1]q,"type":"D","kind":"fee","amount":"200.00","transfer_id":"t2"}]}`, ana))
	a.want(a.do(request{method: "PUT", path: "/api/account/deactivate", token: biaToken, body: `{"password":"` + password + `"}`}), 204, "")
	body := fmt.Sprintf(`{"accounts":[
		{"account_number":%q,"request_ids":["t1:fee","t2:fee","t3:fee","d","t1:fee\u0000","%s"],"of_a_later_version":true},
		{"account_number":%q},{"account_number":"1"},{"account_number":""},{"account_number":"1\u0000"},
		{"account_number":"%s"}],"of_a_later_version":1}`, ana, strings.Repeat("k", 3000), bia, strings.Repeat("1", 3000))
	want := fmt.Sprintf(`{"accounts":[
		{"account_number":%q,"active":true,"balance":"98.00","decided":["t1:fee","t2:fee"]},
		{"account_number":%q,"active":false,"balance":"0.00"},
		{"account_number":"1","active":false,"balance":"0.00"},{"account_number":"","active":false,"balance":"0.00"},
		{"account_number":"1\u0000","active":false,"balance":"0.00"},
		{"account_number":"%s","active":false,"balance":"0.00"}]}`, ana, bia, strings.Repeat("1", 3000))
	var got, wanted accountapi.BalanceResults
	for text, into := range map[string]*accountapi.BalanceResults{post(accountapi.BalancesPath, body): &got, want: &wanted} {
		if err := json.Unmarshal([]byte(text), into, json.RejectUnknownMembers(true)); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Errorf("got  %+v\nwant %+v", got, wanted)
	}
}

func TestBalancesAreBounded(t *testing.T) {
	a := newAPI(t)
	for name, test := range map[string]struct {
		accounts, keys int
		want           int
	}{
		"none": {0, 0, 400}, "most": {1000, 1, 200}, "too many": {1001, 0, 400}, "too many keys": {1, 1001, 400}, "most keys": {1, 1000, 200},
	} {
		in := accountapi.Balances{Accounts: make([]accountapi.BalanceQuestion, test.accounts)}
		for i := range in.Accounts {
			in.Accounts[i] = accountapi.BalanceQuestion{AccountNumber: fmt.Sprint(i), RequestIDs: make([]string, test.keys)}
		}
		body, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		for header, want := range map[string]int{appToken: test.want, "another": 403} {
			rec := a.do(request{method: "POST", path: accountapi.BalancesPath, body: string(body), header: http.Header{"Dapr-Api-Token": {header}}})
			if rec.Code != want {
				t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
			}
		}
	}
}
