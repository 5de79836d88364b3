package httpapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/internal/customer"
)

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
