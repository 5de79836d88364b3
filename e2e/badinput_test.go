package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/e2e/client"
)

// Bad input gets its own answer, never a 5xx, and leaves no trace in any database.
func TestBadInput(t *testing.T) {
	ana, bia := newPerson(t, "Ana Entrada", "100.00"), newPerson(t, "Bia Entrada", "")
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
	ana.wantBalance(t, "100.00")
	checkLedger(t)
}

// writes are the paths that take a body.
var writes = []struct{ method, path string }{
	{"POST", "/api/account/register/"},
	{"POST", "/api/account/login/"},
	{"PUT", "/api/account/deactivate/"},
	{"POST", "/api/account/movement/"},
	{"POST", "/api/transfer/"},
}

// badBodies are wrong whatever the path.
func badBodies(ana, bia person) []refused {
	var all []refused
	for _, w := range writes {
		add := func(what, body string, header http.Header, status int, failure string) {
			all = append(all, refused{what + " at " + w.path, w.method, w.path, body, header, status, failure})
		}
		for _, body := range []string{`{`, ``, `null`, `[]`, `"x"`, `{} {}`, "{\"a\":\"\xff\"}", `{"unknown":1}`, `{"cpf":1,"password":[],"request_id":{}}`, strings.Repeat("[", 10000)} {
			add(fmt.Sprintf("body %.20q", body), body, as(ana), 400, "INVALID_ARGUMENT")
		}
		for _, media := range []string{"", "text/plain", "application/xml", "multipart/form-data; boundary=x", "application/json; charset=latin1", "application/jsonx"} {
			header := as(ana)
			header["Content-Type"] = []string{media}
			add(fmt.Sprintf("media type %q", media), `{}`, header, 415, "UNSUPPORTED_MEDIA_TYPE")
		}
		for _, size := range []int{70 << 10, 1 << 20, 2 << 20, 5 << 20} {
			add(fmt.Sprintf("body of %d bytes", size), `{"password":"`+strings.Repeat("x", size)+`"}`, as(ana), 413, "PAYLOAD_TOO_LARGE")
		}
	}
	unknownField := func(body string) string { return strings.TrimSuffix(body, "}") + `,"admin":true}` }
	twice := func(body string) string { return strings.TrimSuffix(body, "}") + `,"amount":"2.00"}` }
	deposit, payment := movement(key(), ana.Number, `"1.00"`, "C"), transferTo(key(), bia.Number, `"1.00"`)
	for path, body := range map[string]string{"/api/account/movement/": deposit, "/api/transfer/": payment} {
		all = append(all,
			refused{"unknown field", "POST", path, unknownField(body), as(ana), 400, "INVALID_ARGUMENT"},
			refused{"repeated field", "POST", path, twice(body), as(ana), 400, "INVALID_ARGUMENT"},
			refused{"field in capitals", "POST", path, strings.Replace(body, "amount", "AMOUNT", 1), as(ana), 400, "INVALID_ARGUMENT"},
			refused{"no request_id", "POST", path, strings.Replace(body, `"request_id"`, `"description"`, 1), as(ana), 400, "INVALID_ARGUMENT"},
			refused{"something behind", "POST", path, body + "x", as(ana), 400, "INVALID_ARGUMENT"},
		)
	}
	for what, id := range map[string]string{
		"empty": "", "blank": "   ", "of 256 characters": strings.Repeat("x", 256), "with a control character": `a\u0000b`, "with a line break": `a\nb`, "with half a character": `\ud800`,
	} {
		body := fmt.Sprintf(`{"request_id":"%s","destination_account_number":%q,"amount":1}`, id, bia.Number)
		all = append(all, refused{"request_id " + what, "POST", "/api/transfer/", body, as(ana), 400, "INVALID_ARGUMENT"})
	}
	header := as(ana)
	header.Set("Idempotency-Key", "another")
	return append(all, refused{"two different keys", "POST", "/api/transfer/", payment, header, 400, "INVALID_ARGUMENT"})
}

func badAmounts(ana, bia person) (all []refused) {
	for _, amount := range []string{
		`1e400`, `1e2`, `"NaN"`, `"Infinity"`, `"-1"`, `-1`, `0`, `"0.00"`, `-0`, `0.001`, `"0.001"`, `1234567890123456`, `"1234567890123456"`,
		`"12345678901234.56"`, `"1,00"`, `" 1"`, `"1 "`, `""`, `"0x10"`, `"1_0"`, `"+1"`, `".5"`, `"5."`, `"٣"`, `true`, `[]`, `{}`, `["1.00"]`, `99999999999999999999999999`,
	} {
		all = append(all,
			refused{"deposit of " + amount, "POST", "/api/account/movement/", movement(key(), ana.Number, amount, "C"), as(ana), 400, "INVALID_VALUE"},
			refused{"withdrawal of " + amount, "POST", "/api/account/movement/", movement(key(), ana.Number, amount, "D"), as(ana), 400, "INVALID_VALUE"},
			refused{"transfer of " + amount, "POST", "/api/transfer/", transferTo(key(), bia.Number, amount), as(ana), 400, "INVALID_VALUE"},
		)
	}
	for _, number := range []string{"", "x", "12345678901", " 1", "1'--", "-1"} {
		failure := "INVALID_ACCOUNT"
		if number == "" {
			failure = "INVALID_ARGUMENT"
		}
		all = append(all, refused{fmt.Sprintf("destination %q", number), "POST", "/api/transfer/", transferTo(key(), number, `"1.00"`), as(ana), 400, failure})
	}
	return all
}

func badRegistrations() (all []refused) {
	good := client.NewCPF()
	last := (good[10]-'0'+1)%10 + '0'
	add := func(what, cpf, name, password, failure string) {
		body := fmt.Sprintf(`{"cpf":"%s","name":"%s","password":"%s"}`, cpf, name, password)
		all = append(all, refused{"registration with " + what, "POST", "/api/account/register/", body, jsonOnly, 400, failure})
	}
	for what, cpf := range map[string]string{
		"a wrong check digit": good[:10] + string(last), "repeated digits": "11111111111", "zeros": "00000000000", "10 digits": good[:10], "12 digits": good + "0",
		"letters": "abcdefghijk", "odd punctuation": good[:9] + "--" + good[9:], "spaces": " " + good, "other digits": "٥٢٩٩٨٢٢٤٧٢٥",
	} {
		add(what, cpf, "Ana Souza", "senha-boa", "INVALID_DOCUMENT")
	}
	for what, name := range map[string]string{
		"a name of 1 character": "A", "a blank name": "    ", "a name of 101 characters": strings.Repeat("ã", 101), "a control character": `Ana\u0007Souza`,
		"a null character": `Ana\u0000`, "a line break": `Ana\nSouza`, "an escape character": `Ana\u001b[31m`,
	} {
		add(what, good, name, "senha-boa", "INVALID_ARGUMENT")
	}
	for what, password := range map[string]string{"a password of 5 characters": "12345", "a password of 129 characters": strings.Repeat("x", 129), "no password": ""} {
		add(what, good, "Ana Souza", password, "INVALID_ARGUMENT")
	}
	return all
}

// otherPeople is what ana tries with bia's account, and with accounts that are not there.
func otherPeople(ana, bia person) []refused {
	return []refused{
		{"deposit to somebody else", "POST", "/api/account/movement/", movement(key(), bia.Number, `"1.00"`, "C"), as(ana), 403, "INVALID_OPERATION"},
		{"withdrawal from somebody else", "POST", "/api/account/movement/", movement(key(), bia.Number, `"1.00"`, "D"), as(ana), 403, "INVALID_OPERATION"},
		{"movement of an account that cannot be", "POST", "/api/account/movement/", strings.Replace(movement(key(), "1NUL", `"1.00"`, "C"), "NUL", `\u0000`, 1), as(ana), 400, "INVALID_ACCOUNT"},
		{"transfer to an account that cannot be", "POST", "/api/transfer/", strings.Replace(transferTo(key(), "1NUL", `"1.00"`), "NUL", `\u0000`, 1), as(ana), 400, "INVALID_ACCOUNT"},
		{"fee that cannot be", "GET", "/api/fee/detail/%00/", "", as(ana), 404, "NOT_FOUND"},
		{"transfer that cannot be", "GET", "/api/transfer/%00/", "", as(ana), 404, "NOT_FOUND"},
		{"movement of no account", "POST", "/api/account/movement/", movement(key(), "0", `"1.00"`, "C"), as(ana), 400, "INVALID_ACCOUNT"},
		{"deactivation with somebody else's password", "PUT", "/api/account/deactivate/", fmt.Sprintf(`{"password":%q}`, bia.password), as(ana), 401, "USER_UNAUTHORIZED"},
		{"transfer to oneself", "POST", "/api/transfer/", transferTo(key(), ana.Number, `"1.00"`), as(ana), 400, "INVALID_TRANSFER"},
		{"fees of somebody else", "GET", "/api/fee/" + bia.Number + "/", "", as(ana), 403, "INVALID_OPERATION"},
	}
}

// What looks odd and is right: a formatted CPF, amounts as numbers and as strings, accents.
func TestOddButGoodInput(t *testing.T) {
	cpf, password := client.NewCPF(), "çãô|| 'senha\" 🔑"
	keepSecret(cpf, formatted(cpf), password)
	number, err := api.Register(t.Context(), formatted(cpf), "Zoë D'Ávila-Ñandú 李", password)
	if err != nil {
		t.Fatal(err)
	}
	session, err := api.Login(t.Context(), cpf, password)
	if err != nil || session.Number != number || session.Name != "Zoë D'Ávila-Ñandú 李" {
		t.Fatalf("%+v, %v", session, err)
	}
	keepSecret(session.Token)
	zoe := person{Session: session, cpf: cpf, password: password}
	for _, amount := range []string{`1`, `1.5`, `"1"`, `"1.5"`, `"0.01"`, `9999999999999.99`} {
		answer := send(t, "POST", system.URL()+"/api/account/movement/", movement(key(), number, amount, "C"), as(zoe))
		wantAnswer(t, "deposit of "+amount, answer, http.StatusNoContent, "")
	}
	zoe.wantBalance(t, "10000000000005.00")
	checkLedger(t)
}
