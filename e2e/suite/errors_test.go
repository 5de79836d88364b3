package suite_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
)

// refused is a request and the answer that it must get through the ingress.
type refused struct {
	what, method, path, body string
	header                   http.Header
	status                   int
	failure                  string
}

func (r refused) check(t *testing.T) {
	t.Helper()
	bank.WantAnswer(t, r.what, system.Send(t, r.method, system.URL()+r.path, r.body, r.header), r.status, r.failure)
}

func movement(requestID, number, amount, movementType string) string {
	return fmt.Sprintf(`{"request_id":%q,"account_number":%q,"amount":%s,"type":%q}`, requestID, number, amount, movementType)
}

func transferTo(requestID, number, amount string) string {
	return fmt.Sprintf(`{"request_id":%q,"destination_account_number":%q,"amount":%s}`, requestID, number, amount)
}

// absentNumber is an account number that nobody has.
func absentNumber(t *testing.T, p bank.Customer) string {
	t.Helper()
	for number := 1000000000; ; number++ {
		text := fmt.Sprint(number)
		if exists, err := p.Exists(t.Context(), text); err != nil {
			t.Fatal(err)
		} else if !exists {
			return text
		}
	}
}

// Each error type that a client can cause has its status. TestUnavailable, TestRequestInProgress and TestRateLimited show the types
// that need more than one request.
func TestErrors(t *testing.T) {
	ana, bia, gone := system.NewCustomer(t, "Ana Erro", "100.00"), system.NewCustomer(t, "Bia Erro", "10.00"), system.NewCustomer(t, "Caio Inativo", "")
	paid := ana.Pay(t, bia, "1.00")
	ana.WaitBalance(t, "97.00")
	fees, err := ana.Fees(t.Context(), client.Query{})
	if err != nil || len(fees.Items) != 1 {
		t.Fatalf("%+v, %v", fees, err)
	}
	if err := gone.Deactivate(t.Context(), gone.Password); err != nil {
		t.Fatal(err)
	}
	nobody := absentNumber(t, ana)
	post := func(what, path, body string, p bank.Customer, failure string) refused {
		return refused{what, "POST", path, body, p.Header(), 400, failure}
	}
	get := func(what, path string, p bank.Customer, status int, failure string) refused {
		return refused{what, "GET", path, "", p.Header(), status, failure}
	}
	for _, r := range []refused{
		{"CPF registered already", "POST", "/api/account/register/", fmt.Sprintf(`{"cpf":%q,"name":"Outra","password":"senha-outra"}`, bank.Formatted(ana.CPF)), bank.JSONOnly, 400, "INVALID_DOCUMENT"},
		{"wrong password", "POST", "/api/account/login/", fmt.Sprintf(`{"cpf":%q,"password":"errada"}`, ana.CPF), bank.JSONOnly, 401, "USER_UNAUTHORIZED"},
		{"unknown CPF", "POST", "/api/account/login/", fmt.Sprintf(`{"cpf":%q,"password":"errada"}`, bank.NewCPF()), bank.JSONOnly, 401, "USER_UNAUTHORIZED"},
		{"malformed CPF at login", "POST", "/api/account/login/", `{"cpf":"12","password":"errada"}`, bank.JSONOnly, 401, "USER_UNAUTHORIZED"},
		{"inactive, wrong password", "POST", "/api/account/login/", fmt.Sprintf(`{"cpf":%q,"password":"errada"}`, gone.CPF), bank.JSONOnly, 401, "USER_UNAUTHORIZED"},
		{"inactive, right password", "POST", "/api/account/login/", fmt.Sprintf(`{"cpf":%q,"password":%q}`, gone.CPF, gone.Password), bank.JSONOnly, 400, "INACTIVE_ACCOUNT"},
		{"deactivation with a wrong password", "PUT", "/api/account/deactivate/", `{"password":"errada"}`, ana.Header(), 401, "USER_UNAUTHORIZED"},

		post("withdrawal above the balance", "/api/account/movement/", movement(bank.Key(), ana.Number, `"97.01"`, "D"), ana, "INSUFFICIENT_BALANCE"),
		post("movement type", "/api/account/movement/", movement(bank.Key(), ana.Number, `"1.00"`, "X"), ana, "INVALID_TYPE"),
		post("movement of an absent account", "/api/account/movement/", movement(bank.Key(), nobody, `"1.00"`, "C"), ana, "INVALID_ACCOUNT"),
		post("movement of an inactive account", "/api/account/movement/", movement(bank.Key(), gone.Number, `"1.00"`, "C"), gone, "INACTIVE_ACCOUNT"),
		{"movement of somebody else's account", "POST", "/api/account/movement/", movement(bank.Key(), bia.Number, `"1.00"`, "C"), ana.Header(), 403, "INVALID_OPERATION"},
		get("balance of an inactive account", "/api/account/balance/", gone, 400, "INACTIVE_ACCOUNT"),
		get("statement of an inactive account", "/api/account/statement/", gone, 400, "INACTIVE_ACCOUNT"),
		get("cursor", "/api/account/statement/?cursor=%21", ana, 400, "INVALID_ARGUMENT"),
		get("limit of 0", "/api/account/statement/?limit=0", ana, 400, "INVALID_ARGUMENT"),
		get("limit of 101", "/api/account/statement/?limit=101", ana, 400, "INVALID_ARGUMENT"),
		get("from", "/api/account/statement/?from=yesterday", ana, 400, "INVALID_ARGUMENT"),

		post("transfer above the balance", "/api/transfer/", transferTo(bank.Key(), bia.Number, `"97.01"`), ana, "INSUFFICIENT_BALANCE"),
		post("transfer to the same account", "/api/transfer/", transferTo(bank.Key(), ana.Number, `"1.00"`), ana, "INVALID_TRANSFER"),
		post("transfer to an absent account", "/api/transfer/", transferTo(bank.Key(), nobody, `"1.00"`), ana, "INVALID_ACCOUNT"),
		post("transfer to an inactive account", "/api/transfer/", transferTo(bank.Key(), gone.Number, `"1.00"`), ana, "INACTIVE_ACCOUNT"),
		post("transfer from an inactive account", "/api/transfer/", transferTo(bank.Key(), ana.Number, `"1.00"`), gone, "INACTIVE_ACCOUNT"),
		get("absent transfer", "/api/transfer/019ab0f2-5a3e-7c41-9d3b-2f6f0c9e8a11/", ana, 404, "INVALID_TRANSFER"),
		get("transfer id of another form", "/api/transfer/abc/", ana, 404, "INVALID_TRANSFER"),
		get("transfer of others", "/api/transfer/"+paid.TransferID+"/", system.NewCustomer(t, "Davi Erro", ""), 403, "INVALID_OPERATION"),
		get("cursor of transfers", "/api/transfer/list/?cursor=abc", ana, 400, "INVALID_ARGUMENT"),
		get("limit of transfers", "/api/transfer/list/?limit=x", ana, 400, "INVALID_ARGUMENT"),

		get("fees of somebody else", "/api/fee/"+bia.Number+"/", ana, 403, "INVALID_OPERATION"),
		get("fee of somebody else", "/api/fee/detail/"+fees.Items[0].ID+"/", bia, 403, "INVALID_OPERATION"),
		get("absent fee", "/api/fee/detail/019ab0f2-5a3e-7c41-9d3b-2f6f0c9e8a11/", ana, 404, "INVALID_OPERATION"),
		get("cursor of fees", "/api/fee/my/?cursor=abc", ana, 400, "INVALID_ARGUMENT"),

		get("no such path of accounts", "/api/account/nothing/", ana, 404, "NOT_FOUND"),
		get("no such path at all", "/api/nothing/", ana, 404, "NOT_FOUND"),
		{"method", "DELETE", "/api/account/balance/", "", ana.Header(), 405, "METHOD_NOT_ALLOWED"},
		{"method of transfers", "PATCH", "/api/transfer/", "", ana.Header(), 405, "METHOD_NOT_ALLOWED"},
		{"method of fees", "POST", "/api/fee/my/", "{}", ana.Header(), 405, "METHOD_NOT_ALLOWED"},
		{"method of login", "GET", "/api/account/login/", "", nil, 405, "METHOD_NOT_ALLOWED"},
	} {
		r.check(t)
	}
	system.CheckBooks(t)
}

// Every path but register and login wants a token, and takes no bad one.
func TestTokens(t *testing.T) {
	ana := system.NewCustomer(t, "Ana Token", "")
	good, bad := badTokens(t, ana)
	absent := "019ab0f2-5a3e-7c41-9d3b-2f6f0c9e8a11"
	leavesNoTrace(t, func() {
		for _, path := range []struct{ method, path, body string }{
			{"PUT", "/api/account/deactivate/", `{"password":"x"}`},
			{"POST", "/api/account/movement/", movement(bank.Key(), ana.Number, `"1.00"`, "C")},
			{"GET", "/api/account/balance/", ""},
			{"GET", "/api/account/exists/" + ana.Number + "/", ""},
			{"GET", "/api/account/statement/", ""},
			{"POST", "/api/transfer/", transferTo(bank.Key(), "1", `"1.00"`)},
			{"GET", "/api/transfer/list/", ""},
			{"GET", "/api/transfer/" + absent + "/", ""},
			{"GET", "/api/fee/" + ana.Number + "/", ""},
			{"GET", "/api/fee/my/", ""},
			{"GET", "/api/fee/detail/" + absent + "/", ""},
		} {
			try := func(what, authorization string, status int, failure string) {
				header := http.Header{"Content-Type": {"application/json"}}
				if authorization != "" {
					header.Set("Authorization", authorization)
				}
				refused{what + " at " + path.path, path.method, path.path, path.body, header, status, failure}.check(t)
			}
			try("no token", "", 401, "USER_UNAUTHORIZED")
			try("no bearer", "Basic YTpi", 401, "USER_UNAUTHORIZED")
			for what, token := range bad {
				try(what, "Bearer "+token, 403, "INVALID_TOKEN")
			}
		}
	})
	header := http.Header{"Authorization": {"Bearer " + good}}
	if answer := system.Send(t, "GET", system.URL()+"/api/account/balance/", "", header); answer.Status != http.StatusOK {
		t.Errorf("the good token gets %d: the bad ones prove nothing", answer.Status)
	}
}

func TestRateLimited(t *testing.T) {
	cpf, password, _ := system.Register(t, system.API, "Eva Lembrou")
	wrong := fmt.Sprintf(`{"cpf":%q,"password":"errada"}`, cpf)
	var err error
	began, n := time.Now(), 0
	for attempt := 0; err == nil && attempt < 10; attempt++ { // the limit may let in one more between two requests, but hardly each time
		var last client.Answer
		// Ten at once, and one every 6 s; some more, since account-svc counts alone when Redis is late.
		for ; float64(n) < 15+time.Since(began).Seconds()/6; n++ {
			if last = system.Send(t, "POST", system.URL()+"/api/account/login/", wrong, bank.JSONOnly); last.Status != http.StatusUnauthorized {
				break
			}
		}
		bank.WantAnswer(t, "many logins", last, http.StatusTooManyRequests, "RATE_LIMITED")
		if seconds := last.Header.Get("Retry-After"); strings.Trim(seconds, "0123456789") != "" || seconds == "" || seconds == "0" {
			t.Errorf("Retry-After %q", seconds)
		}
		_, err = system.API.Login(t.Context(), cpf, password)
	}
	bank.WantFailure(t, "the right password now", err, http.StatusTooManyRequests, "RATE_LIMITED")
	system.NewCustomer(t, "Fabio Livre", "") // nobody else is locked out
}

// While account-svc hangs, a transfer is under way: the same key is in progress, and in the end the client gets 202
// and can look again later.
func TestRequestInProgress(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Espera", "100.00"), system.NewCustomer(t, "Bia Espera", "")
	ledger := system.Apps["account-svc"].Service
	if err := ledger.Pause(); err != nil {
		t.Fatal(err)
	}
	resume := func() {
		if err := ledger.Resume(); err != nil {
			t.Error(err)
		}
	}
	defer resume()
	requestID := bank.Key()
	type result struct {
		receipt client.Receipt
		err     error
	}
	first := make(chan result, 1)
	go func() {
		receipt, err := ana.Transfer(t.Context(), requestID, bia.Number, "10.00")
		first <- result{receipt, err}
	}()
	bank.Eventually(t, 5*time.Second, func() error {
		page, err := ana.Transfers(t.Context(), client.Query{})
		if err == nil && len(page.Items) != 1 {
			err = fmt.Errorf("%d transfers", len(page.Items))
		}
		return err
	})
	_, err := ana.Transfer(t.Context(), requestID, bia.Number, "10.00")
	bank.WantFailure(t, "the same key meanwhile", err, http.StatusConflict, "REQUEST_IN_PROGRESS")
	_, err = ana.Transfer(t.Context(), requestID, bia.Number, "11.00")
	bank.WantFailure(t, "the same key with another amount", err, http.StatusUnprocessableEntity, "IDEMPOTENCY_CONFLICT")

	got := <-first
	if got.err != nil || got.receipt.HTTPStatus != http.StatusAccepted || got.receipt.Status != client.Pending {
		t.Fatalf("unfinished: %+v, %v", got.receipt, got.err)
	}
	resume()
	bank.Eventually(t, 30*time.Second, func() error {
		seen, err := ana.TransferByID(t.Context(), got.receipt.TransferID)
		if err == nil && seen.Status != client.Completed {
			err = fmt.Errorf("status %s", seen.Status)
		}
		return err
	})
	again, err := ana.Transfer(t.Context(), requestID, bia.Number, "10.00")
	if err != nil || again.HTTPStatus != http.StatusOK || again.TransferID != got.receipt.TransferID || !again.Replayed {
		t.Errorf("afterwards: %+v, %v", again, err)
	}
	bia.WantBalance(t, "10.00")
	waitOpen(t)
	system.CheckBooks(t)
}

// waitOpen waits until all sidecars see their apps again.
func waitOpen(t *testing.T) {
	t.Helper()
	if err := system.WaitOpen(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A request to a service that is down is answered by 503 with an id to quote. The answer tells nothing of what is behind the
// ingress.
func TestUnavailable(t *testing.T) {
	ana := system.NewCustomer(t, "Ana Fora", "")
	fees := system.Apps["fee-svc"].Service
	if err := fees.Kill(); err != nil {
		t.Fatal(err)
	}
	numbered := system.Send(t, "GET", system.URL()+"/api/fee/"+ana.Number+"/", "", ana.Header()) // after all tests, no log may hold it
	bank.WantAnswer(t, "a path with an account number", numbered, http.StatusServiceUnavailable, "INTERNAL_ERROR")
	for what, header := range map[string]http.Header{"no id of its own": {}, "an id of its own": {"X-Request-Id": {"quote-me-7"}}} {
		header.Set("Authorization", "Bearer "+ana.Token)
		answer := system.Send(t, "GET", system.URL()+"/api/fee/my/", "", header)
		bank.WantAnswer(t, what, answer, http.StatusServiceUnavailable, "INTERNAL_ERROR")
		id := answer.Header.Get("X-Request-ID")
		if own := header.Get("X-Request-ID"); (own != "" && id != own) || !strings.Contains(string(answer.Body), id) {
			t.Errorf("%s: X-Request-ID %q, sent %q: %s", what, id, own, answer.Body)
		}
		for _, detail := range []string{"fee-svc", "127.0.0.1", "ERR_", "dial", "refused"} {
			if strings.Contains(string(answer.Body), detail) {
				t.Errorf("%s: %q shows in %s", what, detail, answer.Body)
			}
		}
	}
	start(t, fees)
}
