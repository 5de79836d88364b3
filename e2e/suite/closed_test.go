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

// Once an account is closed, account-svc takes its token no more, though it is valid for another hour. Five seconds later no service
// takes it.
func TestClosedAccountIsRefusedEverywhere(t *testing.T) {
	gone, bia := system.NewCustomer(t, "Caio Encerrou", "12.00"), system.NewCustomer(t, "Bia Fica", "")
	paid := gone.Pay(t, bia, "10.00")
	gone.WaitBalance(t, "0.00") // the fee has been charged
	fees, err := gone.Fees(t.Context(), client.Query{})
	if err != nil || len(fees.Items) != 1 {
		t.Fatalf("%+v, %v", fees, err)
	}
	paths := []string{
		"/api/account/balance/", "/api/account/statement/", "/api/account/exists/" + bia.Number + "/",
		"/api/transfer/list/", "/api/transfer/" + paid.TransferID + "/",
		"/api/fee/my/", "/api/fee/" + gone.Number + "/", "/api/fee/detail/" + fees.Items[0].ID + "/",
	}
	ask := func(path string) client.Answer { return system.Send(t, "GET", system.URL()+path, "", gone.Header()) }
	for _, path := range paths {
		if answer := ask(path); answer.Status != http.StatusOK {
			t.Errorf("%s while the account is open: %d %s", path, answer.Status, answer.Body)
		}
	}
	if err := gone.Deactivate(t.Context(), gone.Password); err != nil {
		t.Fatal(err)
	}
	closed := time.Now()
	for _, path := range paths {
		refused := func() error {
			answer := ask(path)
			if failure := client.FailureFrom(answer); answer.Status != http.StatusBadRequest || failure.Type != "INACTIVE_ACCOUNT" {
				return fmt.Errorf("%d %s", answer.Status, answer.Body)
			}
			return nil
		}
		err := refused()
		if !strings.HasPrefix(path, "/api/account/") {
			err = bank.Within(5*time.Second-time.Since(closed), refused)
		}
		if err != nil {
			t.Errorf("%s after the closing: %v", path, err)
		}
	}
	t.Logf("refused everywhere %s after the closing", time.Since(closed).Round(time.Millisecond))
	if err := gone.Deactivate(t.Context(), gone.Password); err != nil {
		t.Errorf("closing again: %v", err)
	}
	if _, err := bia.Transfers(t.Context(), client.Query{}); err != nil {
		t.Errorf("somebody else's token: %v", err)
	}
	system.CheckBooks(t)
}
