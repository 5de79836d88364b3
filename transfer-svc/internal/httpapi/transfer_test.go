package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/accountapi/accounttest"
	"github.com/bankmore/bankmore/platform/ratelimit"
)

const (
	conflictBody   = `{"message":"A mesma chave de idempotência já foi usada com outros dados.","type":"IDEMPOTENCY_CONFLICT"}`
	inProgressBody = `{"message":"A mesma requisição ainda está em andamento.","type":"REQUEST_IN_PROGRESS"}`
	noBalanceBody  = `{"message":"Saldo insuficiente.","type":"INSUFFICIENT_BALANCE"}`
)

func body(requestID, destination, amount string) string {
	return fmt.Sprintf(`{"request_id":%q,"destination_account_number":%q,"amount":%s}`, requestID, destination, amount)
}

func receipt(id, message, status string) string {
	return `{"transfer_id":"` + id + `","message":"` + message + `","status":"` + status +
		`","origin_account_number":"11","destination_account_number":"22","amount":"150.00"}`
}

func TestTransfer(t *testing.T) {
	a := newAPI(t)
	first := a.send(body("1", "22", `150`))
	id := a.field(first.body, "transfer_id")
	want := receipt(id, "Transferência realizada com sucesso.", "COMPLETED")
	a.want("first", first, http.StatusOK, want)
	if first.replayed {
		t.Error("the first answer is flagged as replayed")
	}
	for _, again := range []string{body("1", "22", `"150.00"`), body("1", "22", `150.0`)} { // the same meaning in other bytes
		for _, memory := range []string{"kept", "lost"} {
			if memory == "lost" {
				a.forget()
			}
			got := a.send(again)
			a.want("again, memory "+memory, got, http.StatusOK, want)
			if !got.replayed {
				t.Errorf("memory %s: the answer is not flagged as replayed", memory)
			}
		}
	}
	if a.ledger.Balance("11") != 85000 || a.ledger.Balance("22") != 15000 {
		t.Errorf("balances %s and %s", a.ledger.Balance("11"), a.ledger.Balance("22"))
	}
}

// Each delivery of a request takes from the customer's limit, and a refusal by the limit decides nothing: neither a payment that an
// earlier delivery has made, nor one that none has made.
func TestLimitDoesNotDecideAPayment(t *testing.T) { synctest.Test(t, testLimitDoesNotDecideAPayment) }

func testLimitDoesNotDecideAPayment(t *testing.T) {
	a := newLimitedAPI(t, ratelimit.Rules{"*": 1})
	first := a.send(body("1", "22", `150`)) // a sidecar loses this answer
	a.send(body("1", "22", `150`))
	refused, never := a.send(body("1", "22", `150`)), a.send(body("2", "22", `150`))
	for _, got := range []answer{refused, never} {
		if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "1" {
			t.Fatalf("%d %v %s", got.status, got.header, got.body)
		}
	}
	if balance := a.ledger.Balance("11"); balance != 85000 {
		t.Fatalf("balance %s", balance)
	}
	a.router = a.routes(ratelimit.Rules{"*": 100}) // later
	if again := a.send(body("1", "22", `150`)); !again.replayed {
		t.Errorf("the payment that was made: %+v", again)
	} else {
		a.want("the payment that was made", again, http.StatusOK, first.body)
	}
	if made := a.send(body("2", "22", `150`)); made.status != http.StatusOK || made.replayed {
		t.Errorf("the payment that was not: %+v", made)
	}
	if balance := a.ledger.Balance("11"); balance != 70000 {
		t.Errorf("in the end the balance is %s", balance)
	}
}

func TestTransferWithoutTrailingSlashAndKeyInHeader(t *testing.T) {
	a := newAPI(t)
	got := a.do(request{method: "POST", path: "/api/transfer", as: &ana, header: map[string]string{"Idempotency-Key": `"a||b/ç"`},
		body: `{"destination_account_number":"22","amount":"150.00"}`})
	id := a.field(got.body, "transfer_id")
	a.want("key in the header", got, http.StatusOK, receipt(id, "Transferência realizada com sucesso.", "COMPLETED"))
	if again := a.send(body("a||b/ç", "22", "150")); !again.replayed || a.field(again.body, "transfer_id") != id {
		t.Errorf("the same key in the body: %+v", again)
	}
}

func TestRefusalStaysForItsKey(t *testing.T) {
	a := newAPI(t)
	for _, test := range []struct{ request, want string }{
		{body("1", "22", `"1000.01"`), noBalanceBody},
		{body("2", "55", `1`), `{"message":"Conta não encontrada.","type":"INVALID_ACCOUNT"}`},
		{body("3", "33", `1`), `{"message":"Conta inativa.","type":"INACTIVE_ACCOUNT"}`},
	} {
		first := a.send(test.request)
		a.want("first", first, http.StatusBadRequest, test.want)
		if first.replayed {
			t.Error("the first refusal is flagged as replayed")
		}
	}
	a.ledger.Change("11", func(account *accounttest.Account) { account.Balance = 1_000_000 })
	for _, memory := range []string{"kept", "lost"} {
		again := a.send(body("1", "22", `"1000.01"`))
		a.want("again", again, http.StatusBadRequest, noBalanceBody)
		if !again.replayed {
			t.Errorf("memory %s: the refusal is not flagged as replayed", memory)
		}
		a.forget()
	}
	if len(a.ledger.Movements()) != 0 {
		t.Error("a refused transfer left a movement")
	}
}

func TestConflict(t *testing.T) {
	a := newAPI(t)
	other, same := body("1", "22", `1`), body("1", "22", `150`)
	a.ledger.OnMove(func(accountapi.Movement) accounttest.Fault {
		a.want("another payload during", a.send(other), http.StatusUnprocessableEntity, conflictBody)
		got := a.send(same)
		a.want("the same during", got, http.StatusConflict, inProgressBody)
		if got.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
		}
		return accounttest.None
	})
	if first := a.send(same); first.status != http.StatusOK {
		t.Errorf("first: %+v", first)
	}
	a.want("another amount after", a.send(other), http.StatusUnprocessableEntity, conflictBody)
	a.want("another destination after", a.send(body("1", "44", `150`)), http.StatusUnprocessableEntity, conflictBody)
	a.forget()
	a.want("another amount, memory lost", a.send(other), http.StatusUnprocessableEntity, conflictBody)
	if len(a.ledger.Movements()) != 2 {
		t.Errorf("%d movements, want 2", len(a.ledger.Movements()))
	}
}

func TestKeysBelongToTheirCaller(t *testing.T) {
	a := newAPI(t)
	a.ledger.Change("22", func(account *accounttest.Account) { account.Balance = 100 })
	mine := a.send(body("1", "22", `150`))
	theirs := a.do(request{method: "POST", path: "/api/transfer/", body: body("1", "11", `1`), as: &bia})
	if mine.status != http.StatusOK || theirs.status != http.StatusOK || theirs.replayed {
		t.Errorf("%+v and %+v", mine, theirs)
	}
}

// While the ledger is down, a transfer is answered with 202. Once recovery has completed it, the client learns so by polling
// or by repeating the request.
func TestAcceptedThenPolled(t *testing.T) {
	for _, state := range []string{"there", "gone"} {
		t.Run("memory "+state, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testAcceptedThenPolled(t, state == "gone") })
		})
	}
}

func testAcceptedThenPolled(t *testing.T, gone bool) {
	a := newAPI(t)
	a.state.gone = gone
	a.ledger.OnMove(func(accountapi.Movement) accounttest.Fault { return accounttest.LostAnswer })
	first := a.send(body("1", "22", `150`))
	id := a.field(first.body, "transfer_id")
	pending := receipt(id, "Transferência em processamento.", "PENDING")
	a.want("first", first, http.StatusAccepted, pending)
	a.want("again", a.send(body("1", "22", `150`)), http.StatusAccepted, pending)
	a.want("another payload", a.send(body("1", "22", `151`)), http.StatusUnprocessableEntity, conflictBody)
	poll := func() string { return a.field(a.get("/api/transfer/"+id+"/", ana).body, "status") }
	if status := poll(); status != "PENDING" {
		t.Errorf("polled %s, want PENDING", status)
	}
	a.recoverAll()
	if status := poll(); status != "COMPLETED" {
		t.Errorf("polled %s, want COMPLETED", status)
	}
	again := a.send(body("1", "22", `150`))
	a.want("in the end", again, http.StatusOK, receipt(id, "Transferência realizada com sucesso.", "COMPLETED"))
	if !again.replayed || len(a.ledger.Movements()) != 2 {
		t.Errorf("replayed %t, %d movements", again.replayed, len(a.ledger.Movements()))
	}
}

func TestDatabaseAway(t *testing.T) {
	a := newAPI(t)
	if err := a.db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, got := range []answer{
		a.send(body("1", "22", `150`)), a.get("/api/transfer/list/", ana), a.get("/api/transfer/019ab0f2-5a3e-7c41-9d3b-2f6f0c9e8a11/", ana),
	} {
		want := `{"message":"Serviço temporariamente indisponível. Código para o suporte: ` + got.header.Get("X-Request-ID") + `","type":"INTERNAL_ERROR"}`
		a.want("without a database", got, http.StatusServiceUnavailable, want)
	}
	if a.state.len() != 0 || len(a.ledger.Movements()) != 0 {
		t.Error("an unavailable service left a trace")
	}
	if strings.Contains(a.send(body("1", "22", `150`)).body, "sql") {
		t.Error("an internal detail reached the client")
	}
}
