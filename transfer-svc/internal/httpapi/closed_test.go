package httpapi_test

import (
	"strings"
	"testing"
)

// Once account-svc has listed an account as closed, transfer-svc refuses reads with its token. account-svc decides about
// transfers with that token: a repeated request gets the answer of the first one.
func TestClosedAccountReadsNothing(t *testing.T) {
	a := newAPI(t)
	sent := a.send(`{"request_id":"r-1","destination_account_number":"22","amount":"10.00"}`)
	_, id, _ := strings.Cut(sent.body, `"transfer_id":"`)
	id, _, _ = strings.Cut(id, `"`)
	const inactive = `{"message":"Conta inativa.","type":"INACTIVE_ACCOUNT"}`
	refresh := func(closed ...string) {
		t.Helper()
		a.closings = closed
		if _, err := a.closed.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/api/transfer/list", "/api/transfer/" + id} {
		refresh()
		if got := a.get(path, ana); got.status != 200 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
		refresh("ana")
		a.want(path, a.get(path, ana), 400, inactive)
		if got := a.get(path, bia); got.status != 200 {
			t.Errorf("%s, by somebody else: %d %s", path, got.status, got.body)
		}
	}
	again := a.send(`{"request_id":"r-1","destination_account_number":"22","amount":"10.00"}`)
	a.want("the same request again", again, 200, sent.body)
	refresh()
	if got := a.get("/api/transfer/list", ana); got.status != 200 {
		t.Errorf("reopened: %d %s", got.status, got.body)
	}
}
