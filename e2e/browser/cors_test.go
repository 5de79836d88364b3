package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/bankmore/bankmore/e2e/stack"
)

// page is a page of an origin of its own, open in a browser, whose script calls the bank at a URL.
type page struct {
	*browser
	bank string
}

// site serves an empty page from an origin of its own.
func site(t *testing.T) (origin string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!doctype html><title>another origin</title>")
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// seen is what a script sees of an answer. Error is set if the browser gives it none.
type seen struct {
	Status int               `json:"status"`
	Body   string            `json:"body"`
	Header map[string]string `json:"header"` // by lower-case name
	Error  string            `json:"error"`
}

// call is an argument of fetch, as https://fetch.spec.whatwg.org/#requestinit has it.
type call struct {
	Method      string            `json:"method,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Body        string            `json:"body,omitempty"`
	Mode        string            `json:"mode,omitempty"`
	Credentials string            `json:"credentials,omitempty"`
}

// fetch has the page's script send a request to the bank.
func (p page) fetch(path string, c call) (answer seen) {
	p.Helper()
	request, err := json.Marshal(c)
	if err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	answer, err = chromedp.Run(ctx, chromedp.Evaluate[seen](fmt.Sprintf(`fetch(%q, %s).then(
		async (r) => ({status: r.status, body: await r.text(), header: Object.fromEntries(r.headers), error: ""}),
		(e) => ({status: 0, body: "", header: {}, error: String(e)}))`, p.bank+path, request), chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatal(err)
	}
	return answer
}

// json returns what fetch sees, which must have a status, and reads its body into v unless that is nil.
func (p page) json(status int, v any, path string, c call) seen {
	p.Helper()
	answer := p.fetch(path, c)
	if answer.Status != status || answer.Error != "" {
		p.Fatalf("%s %s: %+v, want %d", c.Method, path, answer, status)
	}
	if v != nil {
		if err := json.Unmarshal([]byte(answer.Body), v); err != nil {
			p.Fatal(err)
		}
	}
	return answer
}

// wantNothing checks that the browser shows the page no answer, and nothing of it.
func (p page) wantNothing(path string, c call) {
	p.Helper()
	if answer := p.fetch(path, c); answer.Status != 0 || answer.Body != "" || len(answer.Header) != 0 {
		p.Errorf("%s %s shows the page %+v", c.Method, path, answer)
	}
}

// The page of an origin that the bank allows works as a client of the API: it logs in, reads and pays, and reads the headers that
// it needs. The same page sees nothing of a bank that does not allow it, which is how a bank starts, and a page of another origin sees
// nothing of a bank that allows the first: its requests that could change something are not even sent.
func TestPageOfAnotherOrigin(t *testing.T) {
	friend, stranger := site(t), site(t)
	sidecar, err := url.Parse(system.Apps[stack.Ingress].Dapr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(sidecar.Port())
	if err != nil {
		t.Fatal(err)
	}
	ingress, err := stack.StartIngress(t.Context(), port, map[string]string{"CORS_ALLOWED_ORIGINS": friend, "DAPR_API_TOKEN": system.APIToken})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ingress.Close(); err != nil {
			t.Error(err)
		}
	})
	ana, bia := system.NewCustomer(t, "Ana de outra origem", "100.00"), system.NewCustomer(t, "Bia de outra origem", "")
	b := open(t, friend)
	p := page{b, "http://" + ingress.Address}
	b.do(chromedp.Navigate(friend))

	asJSON := map[string]string{"Content-Type": "application/json"}
	credentials := fmt.Sprintf(`{"cpf":%q,"password":%q}`, ana.CPF, ana.Password)
	var login struct{ Token string }
	p.json(200, &login, "/api/account/login/", call{Method: "POST", Headers: asJSON, Body: credentials})
	system.KeepSecret(login.Token)
	bearer := map[string]string{"Authorization": "Bearer " + login.Token}
	var account struct{ Balance string }
	if p.json(200, &account, "/api/account/balance/", call{Headers: bearer}); account.Balance != "100.00" {
		t.Errorf("the page reads the balance %s", account.Balance)
	}
	pays := call{Method: "POST", Body: fmt.Sprintf(`{"destination_account_number":%q,"amount":"30.00"}`, bia.Number), Headers: map[string]string{
		"Authorization": "Bearer " + login.Token, "Content-Type": "application/json", "Idempotency-Key": `"from-a-page"`, "X-Request-ID": "the-page-s-own",
		"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}}
	if id := p.json(200, nil, "/api/transfer/", pays).Header["x-request-id"]; id != "the-page-s-own" {
		t.Errorf("the page reads the request id %q", id)
	}
	if again := p.json(200, nil, "/api/transfer/", pays); again.Header["idempotency-replayed"] != "true" {
		t.Errorf("of a repetition the page reads %v", again.Header)
	}
	if p.json(200, &account, "/api/account/balance/", call{Headers: bearer}); account.Balance != "70.00" && account.Balance != "68.00" { // the fee follows
		t.Errorf("after the transfer the page reads the balance %s", account.Balance)
	}
	file := p.json(200, nil, "/api/account/statement/?format=csv&from=2026-01-01", call{Headers: bearer})
	if !strings.Contains(file.Header["content-disposition"], "filename=extrato-") || file.Header["statement-complete-until"] == "" || !strings.Contains(file.Body, "saldo final") {
		t.Errorf("of a file the page reads %+v", file)
	}
	if refused := p.json(401, nil, "/api/account/balance/", call{}); refused.Header["www-authenticate"] == "" || !strings.Contains(refused.Body, "USER_UNAUTHORIZED") {
		t.Errorf("of a refusal the page reads %+v", refused)
	}

	// Nothing that the API does not need is allowed.
	p.wantNothing("/api/account/balance/", call{Method: "DELETE", Headers: bearer})
	p.wantNothing("/api/account/balance/", call{Headers: map[string]string{"Authorization": "Bearer " + login.Token, "dapr-app-id": "account-svc"}})
	p.wantNothing("/api/account/balance/", call{Headers: bearer, Credentials: "include"})

	strangers := func(p page) {
		t.Helper()
		p.wantNothing("/api/account/login/", call{Method: "POST", Headers: asJSON, Body: credentials})
		p.wantNothing("/api/account/login/", call{Method: "POST", Body: credentials}) // as text/plain, without asking first
		p.wantNothing("/api/account/login/", call{Method: "POST", Body: credentials, Mode: "no-cors"})
		p.wantNothing("/api/account/balance/", call{Headers: bearer})
		p.wantNothing("/api/account/balance/", call{})
		p.wantNothing("/api/fee/my/", call{Mode: "no-cors"})
		p.wantNothing("/healthz", call{})
		other := pays
		other.Headers = map[string]string{"Authorization": "Bearer " + login.Token, "Content-Type": "application/json", "Idempotency-Key": `"of-a-stranger"`}
		p.wantNothing("/api/transfer/", other)
		if balance, err := bia.Balance(t.Context()); err != nil || balance != "30.00" {
			t.Errorf("after the stranger's requests, the other customer has %s, %v", balance, err)
		}
	}
	strangers(page{b, system.URL()}) // closed by default
	b.do(chromedp.Navigate(stranger))
	strangers(page{b, p.bank})
	system.CheckBooks(t)
}
