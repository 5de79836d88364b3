package suite_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/e2e/bank"
)

// Through the whole system, bad input of every kind gets the answer that the OpenAPI documents promise, and leaves no trace in any
// database. The tests of platform/web, platform/money and the services have all the cases of each kind.
func TestBadInput(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Entrada", "100.00"), system.NewCustomer(t, "Bia Entrada", "")
	leavesNoTrace(t, func() {
		for _, r := range badBodies(ana, bia) {
			r.check(t)
		}
		for _, r := range badAmounts(ana, bia) {
			r.check(t)
		}
		for _, r := range badRegistrations() {
			r.check(t)
		}
		for _, r := range otherPeople(ana, bia) {
			r.check(t)
		}
	})
	ana.WantBalance(t, "100.00")
	system.CheckBooks(t)
}

// writes are the paths that take a body.
var writes = []struct{ method, path string }{
	{"POST", "/api/account/register/"},
	{"POST", "/api/account/login/"},
	{"PUT", "/api/account/deactivate/"},
	{"POST", "/api/account/movement/"},
	{"POST", "/api/transfer/"},
}

// badBodies are bodies that no path takes.
func badBodies(ana, bia bank.Customer) []refused {
	var all []refused
	for _, w := range writes {
		add := func(what, body string, header http.Header, status int, failure string) {
			all = append(all, refused{what + " at " + w.path, w.method, w.path, body, header, status, failure})
		}
		add("a body that ends early", `{`, ana.Header(), 400, "INVALID_ARGUMENT")
		add("an unknown field", `{"unknown":1}`, ana.Header(), 400, "INVALID_ARGUMENT")
		header := ana.Header()
		header.Set("Content-Type", "text/plain")
		add("a media type", `{}`, header, 415, "UNSUPPORTED_MEDIA_TYPE")
		for _, size := range []int{70 << 10, 5 << 20} { // which the service refuses, and the ingress
			add(fmt.Sprintf("a body of %d bytes", size), `{"password":"`+strings.Repeat("x", size)+`"}`, ana.Header(), 413, "PAYLOAD_TOO_LARGE")
		}
	}
	payment := transferTo(bank.Key(), bia.Number, `"1.00"`)
	for what, id := range map[string]string{"missing": "", "blank": "   ", "of 256 characters": strings.Repeat("x", 256)} {
		all = append(all, refused{"request_id " + what, "POST", "/api/transfer/", transferTo(id, bia.Number, `1`), ana.Header(), 400, "INVALID_ARGUMENT"})
	}
	header := ana.Header()
	header.Set("Idempotency-Key", "another")
	return append(all, refused{"two different keys", "POST", "/api/transfer/", payment, header, 400, "INVALID_ARGUMENT"})
}

func badAmounts(ana, bia bank.Customer) (all []refused) {
	for _, amount := range []string{`1e400`, `"NaN"`, `-1`, `0`, `0.001`, `1234567890123456`, `{}`} {
		all = append(all,
			refused{"deposit of " + amount, "POST", "/api/account/movement/", movement(bank.Key(), ana.Number, amount, "C"), ana.Header(), 400, "INVALID_VALUE"},
			refused{"withdrawal of " + amount, "POST", "/api/account/movement/", movement(bank.Key(), ana.Number, amount, "D"), ana.Header(), 400, "INVALID_VALUE"},
			refused{"transfer of " + amount, "POST", "/api/transfer/", transferTo(bank.Key(), bia.Number, amount), ana.Header(), 400, "INVALID_VALUE"},
		)
	}
	for _, number := range []string{"", "x", "12345678901", " 1", "1'--", "-1"} {
		failure := "INVALID_ACCOUNT"
		if number == "" {
			failure = "INVALID_ARGUMENT"
		}
		all = append(all, refused{fmt.Sprintf("destination %q", number), "POST", "/api/transfer/", transferTo(bank.Key(), number, `"1.00"`), ana.Header(), 400, failure})
	}
	return all
}

func badRegistrations() (all []refused) {
	good := bank.NewCPF()
	last := (good[10]-'0'+1)%10 + '0'
	add := func(what, cpf, name, password, failure string) {
		body := fmt.Sprintf(`{"cpf":"%s","name":"%s","password":"%s"}`, cpf, name, password)
		all = append(all, refused{"registration with " + what, "POST", "/api/account/register/", body, bank.JSONOnly, 400, failure})
	}
	add("a wrong check digit", good[:10]+string(last), "Ana Souza", "senha-boa", "INVALID_DOCUMENT")
	add("a name of 1 character", good, "A", "senha-boa", "INVALID_ARGUMENT")
	add("a line break in the name", good, `Ana\nSouza`, "senha-boa", "INVALID_ARGUMENT")
	add("a password of 5 characters", good, "Ana Souza", "12345", "INVALID_ARGUMENT")
	return all
}

// otherPeople is what ana tries with bia's account, and with accounts that are not there.
func otherPeople(ana, bia bank.Customer) []refused {
	return []refused{
		{"deposit to somebody else", "POST", "/api/account/movement/", movement(bank.Key(), bia.Number, `"1.00"`, "C"), ana.Header(), 403, "INVALID_OPERATION"},
		{"withdrawal from somebody else", "POST", "/api/account/movement/", movement(bank.Key(), bia.Number, `"1.00"`, "D"), ana.Header(), 403, "INVALID_OPERATION"},
		{"movement of an account that cannot be", "POST", "/api/account/movement/", strings.Replace(movement(bank.Key(), "1NUL", `"1.00"`, "C"), "NUL", `\u0000`, 1), ana.Header(), 400, "INVALID_ACCOUNT"},
		{"transfer to an account that cannot be", "POST", "/api/transfer/", strings.Replace(transferTo(bank.Key(), "1NUL", `"1.00"`), "NUL", `\u0000`, 1), ana.Header(), 400, "INVALID_ACCOUNT"},
		{"fee that cannot be", "GET", "/api/fee/detail/%00/", "", ana.Header(), 404, "NOT_FOUND"},
		{"transfer that cannot be", "GET", "/api/transfer/%00/", "", ana.Header(), 404, "NOT_FOUND"},
		{"movement of no account", "POST", "/api/account/movement/", movement(bank.Key(), "0", `"1.00"`, "C"), ana.Header(), 400, "INVALID_ACCOUNT"},
		{"deactivation with somebody else's password", "PUT", "/api/account/deactivate/", fmt.Sprintf(`{"password":%q}`, bia.Password), ana.Header(), 401, "USER_UNAUTHORIZED"},
		{"transfer to oneself", "POST", "/api/transfer/", transferTo(bank.Key(), ana.Number, `"1.00"`), ana.Header(), 400, "INVALID_TRANSFER"},
		{"fees of somebody else", "GET", "/api/fee/" + bia.Number + "/", "", ana.Header(), 403, "INVALID_OPERATION"},
	}
}

// The API accepts a formatted CPF, amounts as numbers and as strings, and names and passwords with any letters.
func TestOddButGoodInput(t *testing.T) {
	cpf, password := bank.NewCPF(), "çãô|| 'senha\" 🔑"
	system.KeepSecret(cpf, bank.Formatted(cpf), password)
	number, err := system.API.Register(t.Context(), bank.Formatted(cpf), "Zoë D'Ávila-Ñandú 李", password)
	if err != nil {
		t.Fatal(err)
	}
	session, err := system.API.Login(t.Context(), cpf, password)
	if err != nil || session.Number != number || session.Name != "Zoë D'Ávila-Ñandú 李" {
		t.Fatalf("%+v, %v", session, err)
	}
	system.KeepSecret(session.Token)
	zoe := bank.Customer{Session: session, CPF: cpf, Password: password}
	for _, amount := range []string{`1`, `1.5`, `"1"`, `"1.5"`, `"0.01"`, `9999999999999.99`} {
		answer := system.Send(t, "POST", system.URL()+"/api/account/movement/", movement(bank.Key(), number, amount, "C"), zoe.Header())
		bank.WantAnswer(t, "deposit of "+amount, answer, http.StatusNoContent, "")
	}
	zoe.WantBalance(t, "10000000000005.00")
	system.CheckBooks(t)
}
