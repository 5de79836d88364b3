package httpapi_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/platform/auth"
)

// closedPage is a page of closed accounts, as the other services read it.
func (a *api) closedPage(after *accountapi.ClosedAccount) (page accountapi.ClosedAccounts) {
	a.t.Helper()
	body, err := json.Marshal(accountapi.ClosedQuery{After: after})
	if err != nil {
		a.t.Fatal(err)
	}
	header := http.Header{http.CanonicalHeaderKey(auth.AppTokenHeader): {appToken}}
	rec := a.do(request{method: "POST", path: accountapi.ClosedPath, body: string(body), header: header})
	if err := json.Unmarshal(rec.Body.Bytes(), &page); err != nil || rec.Code != http.StatusOK {
		a.t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	return page
}

// The list for other services has a closed account until its last token has expired, or until it is reopened.
func TestClosedAccountsAreListed(t *testing.T) {
	a := newAPI(t)
	number, token := a.register(anaCPF, "Ana")
	a.register(biaCPF, "Bia")
	if page := a.closedPage(nil); len(page.Accounts) != 0 || page.More {
		t.Errorf("before: %+v", page)
	}
	began := time.Now().Truncate(time.Microsecond)
	a.want(a.do(request{method: "PUT", path: "/api/account/deactivate", token: token, body: fmt.Sprintf(`{"password":%q}`, password)}), 204, "")
	page := a.closedPage(nil)
	claims := accountapi.Claims{}
	if err := a.tokens.Verify(token, &claims); err != nil {
		t.Fatal(err)
	}
	if len(page.Accounts) != 1 || page.More || page.Accounts[0].AccountID != claims.AccountID() || page.Accounts[0].ClosedAt.Before(began) {
		t.Fatalf("closed: %+v", page)
	}
	if rest := a.closedPage(&page.Accounts[0]); len(rest.Accounts) != 0 || rest.More {
		t.Errorf("after the last one: %+v", rest)
	}
	a.exec("UPDATE accounts SET deactivated_at = deactivated_at - $1 WHERE number = $2", (61 * time.Minute).Microseconds(), number)
	if page := a.closedPage(nil); len(page.Accounts) != 0 {
		t.Errorf("when no token is left: %+v", page)
	}
	a.exec("UPDATE accounts SET deactivated_at = deactivated_at + $1 WHERE number = $2", time.Minute.Microseconds(), number)
	if page := a.closedPage(nil); len(page.Accounts) != 1 {
		t.Errorf("while a token may be left: %+v", page)
	}
	if _, err := a.store.Reopen(t.Context(), customer.Reopening{Number: number, Reason: "a refund came", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if page := a.closedPage(nil); len(page.Accounts) != 0 {
		t.Errorf("reopened: %+v", page)
	}

	for _, bad := range []string{`{"after":{"account_id":"x","closed_at":"2026-01-01T00:00:00Z"}}`, `{"after":{"account_id":"\u0000"}}`, `[]`} {
		header := http.Header{http.CanonicalHeaderKey(auth.AppTokenHeader): {appToken}}
		if rec := a.do(request{method: "POST", path: accountapi.ClosedPath, body: bad, header: header}); rec.Code != 400 {
			t.Errorf("%s: %d %s", bad, rec.Code, rec.Body)
		}
	}
	if rec := a.do(request{method: "POST", path: accountapi.ClosedPath, body: `{}`}); rec.Code != 403 {
		t.Errorf("without the app token: %d %s", rec.Code, rec.Body)
	}
}

// More closed accounts than fit into one answer come in pages, each once.
func TestClosedAccountsInPages(t *testing.T) {
	a := newAPI(t)
	const n = accountapi.MaxClosed + 5
	id := "printf('01900000-0000-7000-8000-%012x', i)"
	numbers := fmt.Sprintf("WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < %d) ", n)
	a.exec(numbers + "INSERT INTO customers SELECT " + id + ", 'Ana', 'cpf ' || i, '', '', 0 FROM numbers")
	a.exec(numbers+"INSERT INTO accounts (id, number, deactivated_at) SELECT "+id+", i, $1 FROM numbers", time.Now().UnixMicro())
	first := a.closedPage(nil)
	if len(first.Accounts) != accountapi.MaxClosed || !first.More {
		t.Fatalf("the first page has %d, more: %t", len(first.Accounts), first.More)
	}
	second := a.closedPage(&first.Accounts[len(first.Accounts)-1])
	seen := map[string]bool{}
	for _, c := range append(first.Accounts, second.Accounts...) {
		seen[c.AccountID] = true
	}
	if len(second.Accounts) != 5 || second.More || len(seen) != n {
		t.Errorf("the second page has %d, more: %t; both have %d", len(second.Accounts), second.More, len(seen))
	}
}

func (a *api) exec(query string, args ...any) {
	a.t.Helper()
	if _, err := a.db.Exec(a.t.Context(), query, args...); err != nil {
		a.t.Fatal(err)
	}
}
