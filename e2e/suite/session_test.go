package suite_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/client/transfer"
	"github.com/bankmore/bankmore/e2e/bank"
)

// waysIn are the URLs by which a client can reach the services: through the ingress, through the sidecar of another service, and
// directly. A system that runs elsewhere is reached through its ingress only.
func waysIn() map[string]client.URLs {
	if *runningAt != "" {
		return map[string]client.URLs{"ingress": client.Ingress(system.URL())}
	}
	account, transfer, fee := system.Apps["account-svc"], system.Apps["transfer-svc"], system.Apps["fee-svc"]
	return map[string]client.URLs{
		"ingress": client.Ingress(system.URL()),
		"invoke":  {Account: transfer.Invoke(account.ID), Transfer: fee.Invoke(transfer.ID), Fee: account.Invoke(fee.ID)},
		"direct":  {Account: account.URL, Transfer: transfer.URL, Fee: fee.URL},
	}
}

// The main job: 1,000.00 deposited, 150.00 sent, 2.00 charged by way of Kafka.
func TestMainJob(t *testing.T) {
	for way, urls := range waysIn() {
		t.Run(way, func(t *testing.T) {
			c := client.New(urls, system.Transport)
			ana, bia := system.NewCustomerThrough(t, c, "Ana Souza", "1000.00"), system.NewCustomerThrough(t, c, "Bia Lima", "")
			requestID := bank.Key()
			receipt, err := ana.Transfer(t.Context(), requestID, bia.Number, "150.00")
			if err != nil {
				t.Fatal(err)
			}
			want := client.Receipt{Receipt: transfer.Receipt{
				TransferID: receipt.TransferID, Message: receipt.Message, Status: client.Completed,
				OriginAccountNumber: ana.Number, DestinationAccountNumber: bia.Number, Amount: "150.00",
			}, HTTPStatus: http.StatusOK}
			if receipt != want || receipt.TransferID == "" || receipt.Message == "" {
				t.Errorf("receipt %+v", receipt)
			}
			bia.WantBalance(t, "150.00")
			ana.WaitBalance(t, "848.00")
			wantFee(t, ana, receipt.TransferID)
			wantTransferSeen(t, ana, bia, receipt.TransferID, requestID)
			wantStatement(t, ana, "fee D 2.00 848.00", "transfer D 150.00 850.00", "deposit C 1000.00 1000.00")
			wantStatement(t, bia, "transfer C 150.00 150.00")
			if exists, err := ana.Exists(t.Context(), bia.Number); err != nil || !exists {
				t.Errorf("Bia's account exists: %t, %v", exists, err)
			}
			bank.WantFailure(t, "closing with a balance", bia.Deactivate(t.Context(), bia.Password), http.StatusBadRequest, "BALANCE_NOT_ZERO")
			if _, err := bia.Move(t.Context(), bank.Key(), client.Debit, "150.00"); err != nil {
				t.Error(err)
			}
			if err := bia.Deactivate(t.Context(), bia.Password); err != nil {
				t.Errorf("deactivation: %v", err)
			}
		})
	}
	system.CheckBooks(t)
}

// wantFee checks that the payer finds the fee by each of the three paths, and that nobody else sees it.
func wantFee(t *testing.T, payer bank.Customer, transferID string) {
	t.Helper()
	var fee client.Fee
	bank.Eventually(t, 20*time.Second, func() error { // the money moves a moment before the fee says so
		mine, err := payer.Fees(t.Context(), client.Query{})
		if err != nil {
			return err
		}
		if len(mine.Items) != 1 || mine.Items[0].Status != client.Charged {
			return fmt.Errorf("fees %+v", mine.Items)
		}
		fee = mine.Items[0]
		return nil
	})
	if fee.TransferID != transferID || fee.AccountNumber != payer.Number || fee.Amount != "2.00" || fee.ChargedAt == nil {
		t.Errorf("fee %+v", fee)
	}
	byAccount, err := payer.FeesOf(t.Context(), payer.Number, client.Query{})
	if err != nil || len(byAccount.Items) != 1 || byAccount.Items[0].ID != fee.ID {
		t.Errorf("fees by account: %+v, %v", byAccount, err)
	}
	detail, err := payer.Fee(t.Context(), fee.ID)
	if err != nil || detail.ID != fee.ID || detail.TransferID != transferID {
		t.Errorf("fee by id: %+v, %v", detail, err)
	}
}

// wantTransferSeen checks that both parties find the transfer in their list and by its id.
func wantTransferSeen(t *testing.T, from, to bank.Customer, id, requestID string) {
	t.Helper()
	for _, p := range []bank.Customer{from, to} {
		list, err := p.Transfers(t.Context(), client.Query{})
		if err != nil || len(list.Items) != 1 || list.Items[0].ID != id {
			t.Fatalf("%s lists %+v, %v", p.Name, list.Items, err)
		}
		detail, err := p.TransferByID(t.Context(), id)
		if err != nil || detail.ID != id || detail.Status != client.Completed || detail.Amount != "150.00" ||
			detail.OriginAccountNumber != from.Number || detail.DestinationAccountNumber != to.Number || detail.CompletedAt == nil {
			t.Errorf("%s sees %+v, %v", p.Name, detail, err)
		}
		seen := map[string]string{from.Number: requestID}[p.Number] // the receiver sees none
		if detail.RequestID != seen || list.Items[0].RequestID != seen {
			t.Errorf("%s sees request_id %q and %q, want %q", p.Name, detail.RequestID, list.Items[0].RequestID, seen)
		}
	}
}

// wantStatement checks all movements, newest first, as "kind type amount balance_after".
func wantStatement(t *testing.T, p bank.Customer, want ...string) {
	t.Helper()
	page, err := p.Statement(t.Context(), client.Query{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range page.Items {
		got = append(got, strings.Join([]string{string(m.Kind), string(m.Type), m.Amount, m.BalanceAfter}, " "))
		if m.Kind == "transfer" && (m.CounterpartyAccountNumber == "" || m.TransferID == "") {
			t.Errorf("movement without counterparty or transfer: %+v", m)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("statement of %s:\n%s\nwant\n%s", p.Name, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Every path answers the same with and without its trailing slash, by every way in.
func TestTrailingSlash(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Barra", "100.00"), system.NewCustomer(t, "Bia Barra", "")
	receipt := ana.Pay(t, bia, "10.00")
	ana.WaitBalance(t, "88.00")
	fees, err := ana.Fees(t.Context(), client.Query{})
	if err != nil || len(fees.Items) != 1 {
		t.Fatalf("%+v, %v", fees, err)
	}
	json := http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + ana.Token}}
	deposit := fmt.Sprintf(`{"request_id":%q,"account_number":%q,"amount":"1.00","type":"C"}`, bank.Key(), ana.Number)
	transfer := fmt.Sprintf(`{"request_id":%q,"destination_account_number":%q,"amount":"1.00"}`, bank.Key(), bia.Number)
	for name, urls := range waysIn() {
		for _, r := range []struct{ method, url, body string }{
			{"POST", urls.Account + "/api/account/login", fmt.Sprintf(`{"cpf":%q,"password":"wrong-password"}`, bank.NewCPF())},
			{"POST", urls.Account + "/api/account/register", `{"cpf":"111","name":"Ana","password":"secret"}`},
			{"PUT", urls.Account + "/api/account/deactivate", `{"password":""}`},
			{"POST", urls.Account + "/api/account/movement", deposit},
			{"GET", urls.Account + "/api/account/balance", ""},
			{"GET", urls.Account + "/api/account/exists/" + bia.Number, ""},
			{"GET", urls.Account + "/api/account/statement", ""},
			{"POST", urls.Transfer + "/api/transfer", transfer},
			{"GET", urls.Transfer + "/api/transfer/list", ""},
			{"GET", urls.Transfer + "/api/transfer/" + receipt.TransferID, ""},
			{"GET", urls.Fee + "/api/fee/my", ""},
			{"GET", urls.Fee + "/api/fee/" + ana.Number, ""},
			{"GET", urls.Fee + "/api/fee/detail/" + fees.Items[0].ID, ""},
		} {
			plain := system.Send(t, r.method, r.url, r.body, json)
			if r.method != "GET" {
				system.Settle(t) // so that the fee of this transfer does not change what is read next
			}
			slashed := system.Send(t, r.method, r.url+"/", r.body, json)
			if plain.Status != slashed.Status || !bytes.Equal(plain.Body, slashed.Body) || plain.Status == http.StatusNotFound {
				t.Errorf("%s: %s %s: %d %s, with a slash %d %s", name, r.method, r.url, plain.Status, plain.Body, slashed.Status, slashed.Body)
			}
		}
	}
	system.CheckBooks(t)
}
