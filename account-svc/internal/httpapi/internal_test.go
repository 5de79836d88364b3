package httpapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
)

// A command with text that a database refuses fails alone; its neighbours do not. Unknown fields, which a newer service may
// send, are ignored.
func TestLedgerOperationWithTextThatCannotBeStored(t *testing.T) {
	a := newAPI(t)
	ana, token := a.register(anaCPF, "Ana")
	a.want(a.move(token, ana, "d", "100.00", "C"), 204, "")
	fee := accountapi.Movement{
		RequestID: "t:fee", AccountNumber: ana, Type: accountapi.Debit, Kind: accountapi.KindFee, Amount: 200, TransferID: "t",
	}
	in := accountapi.Movements{Commands: []accountapi.Movement{fee}}
	long := strings.Repeat("é", 256)
	for _, harm := range []func(*accountapi.Movement){
		func(m *accountapi.Movement) { m.RequestID += long },
		func(m *accountapi.Movement) { m.AccountNumber += long },
		func(m *accountapi.Movement) { m.TransferID += long },
		func(m *accountapi.Movement) { m.Counterparty += long },
		func(m *accountapi.Movement) { m.Description += long },
		func(m *accountapi.Movement) { m.TransferRequestID += long },
		func(m *accountapi.Movement) { m.TransferFingerprint += long },
		func(m *accountapi.Movement) { m.RequestID += "\x00" },
		func(m *accountapi.Movement) { m.AccountNumber += "\x00" },
		func(m *accountapi.Movement) { m.TransferID += "\x00" },
		func(m *accountapi.Movement) { m.Counterparty += "\x00" },
		func(m *accountapi.Movement) { m.Description += "\x00" },
		func(m *accountapi.Movement) { m.TransferRequestID += "\x00" },
		func(m *accountapi.Movement) { m.TransferFingerprint += "\x00" },
	} {
		bad := fee
		bad.RequestID = fmt.Sprint("bad ", len(in.Commands))
		harm(&bad)
		in.Commands = append(in.Commands, bad)
	}
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.Replace(string(body), `{"commands":[{`, `{"from":"the future","commands":[{"from":"the future",`, 1)
	rec := a.do(request{method: "POST", path: accountapi.MovementsPath, body: newer, header: http.Header{"Dapr-Api-Token": {appToken}}})
	var out accountapi.MovementResults
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil || len(out.Results) != len(in.Commands) {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	for i, result := range out.Results {
		want := accountapi.StatusRejected
		if i == 0 { // the only command whose texts a database accepts
			want = accountapi.StatusApplied
		}
		if result.Status != want {
			t.Errorf("command %d: %+v, want %s", i, result, want)
		}
	}
}

func TestLedgerOperation(t *testing.T) {
	a := newAPI(t)
	ana, token := a.register(anaCPF, "Ana")
	bia, _ := a.register(biaCPF, "Bia")
	a.want(a.move(token, ana, "d", "100.00", "C"), 204, "")
	debit := accountapi.Movement{
		RequestID: "t1:debit", AccountNumber: ana, Type: accountapi.Debit, Kind: accountapi.KindTransfer, Amount: 6000,
		TransferID: "t1", Counterparty: bia,
	}
	with := func(change func(*accountapi.Movement)) accountapi.Movement { m := debit; change(&m); return m }
	post := func(commands ...accountapi.Movement) *httptest.ResponseRecorder {
		body, err := json.Marshal(accountapi.Movements{Commands: commands})
		if err != nil {
			t.Fatal(err)
		}
		return a.do(request{method: "POST", path: accountapi.MovementsPath, body: string(body), header: http.Header{"Dapr-Api-Token": {appToken}}})
	}
	a.want(post(
		debit, with(func(m *accountapi.Movement) { m.TransferRequestID, m.TransferFingerprint = "r", "f" }),
		with(func(m *accountapi.Movement) { m.RequestID = "t2:debit"; m.TransferID = "t2" }),
		with(func(m *accountapi.Movement) { m.Amount = 1 }),
		with(func(m *accountapi.Movement) { m.RequestID = "t3:debit"; m.Counterparty = "1" }),
		with(func(m *accountapi.Movement) {
			m.RequestID = "x"
			m.Kind, m.Type = string(ledger.Deposit), accountapi.Credit
		}),
	), 200, `{"results":[{"status":"applied"},{"status":"applied","replayed":true},`+
		`{"status":"refused","type":"INSUFFICIENT_BALANCE","message":"Saldo insuficiente."},`+
		`{"status":"rejected","type":"IDEMPOTENCY_CONFLICT","message":"A mesma chave de idempotência já foi usada com outros dados."},`+
		`{"status":"refused","type":"INVALID_ACCOUNT","message":"Conta não encontrada."},`+
		`{"status":"rejected","type":"INVALID_ARGUMENT","message":"Comando de movimentação inválido."}]}`)
	if got := a.balance(token); got != "40.00" {
		t.Errorf("balance %s", got)
	}
	a.want(post(), 400, `{"message":"O lote deve ter de 1 a 256 comandos.","type":"INVALID_ARGUMENT"}`)
	a.want(post(make([]accountapi.Movement, 257)...), 400, `{"message":"O lote deve ter de 1 a 256 comandos.","type":"INVALID_ARGUMENT"}`)
}

// A customer's key never equals a service's, whatever request id the customer chooses.
func TestCustomersAndServicesShareNoKeys(t *testing.T) {
	a := newAPI(t)
	ana, token := a.register(anaCPF, "Ana")
	a.want(a.move(token, ana, "t1:fee", "100.00", "C"), 204, "")
	body := fmt.Sprintf(`{"commands":[{"request_id":"t1:fee","account_number":%q,"type":"D","kind":"fee","amount":"2.00","transfer_id":"t1"}]}`, ana)
	a.want(a.do(request{method: "POST", path: accountapi.MovementsPath, body: body, header: http.Header{"Dapr-Api-Token": {appToken}}}),
		200, `{"results":[{"status":"applied"}]}`)
}
