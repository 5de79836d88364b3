package suite_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

// Every answer carries a request id: the caller's, if it is a sane one. It is in the logs of every service on the way.
func TestRequestID(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Código", "100.00"), system.NewCustomer(t, "Bia Código", "")
	sane := "e2e-" + bank.Key()
	header := ana.Header()
	header.Set("X-Request-ID", sane)
	answer := system.Send(t, "POST", system.URL()+"/api/transfer/", transferTo(bank.Key(), bia.Number, `"1.00"`), header)
	if got := answer.Header.Get("X-Request-ID"); got != sane || answer.Status != http.StatusOK {
		t.Errorf("%d with X-Request-ID %q, want %q", answer.Status, got, sane)
	}
	for _, id := range []string{"transfer-svc", "account-svc"} {
		bank.Eventually(t, 20*time.Second, func() error { return inLog(system.Apps[id].Service, sane) })
	}
	for _, bad := range []string{"a b", "<script>", strings.Repeat("x", 129), `"`, "é"} {
		header.Set("X-Request-ID", bad)
		answer := system.Send(t, "GET", system.URL()+"/api/account/balance/", "", header)
		if got := answer.Header.Get("X-Request-ID"); got == bad || got == "" || answer.Status != http.StatusOK {
			t.Errorf("%q: %d with X-Request-ID %q", bad, answer.Status, got)
		}
	}
	system.CheckBooks(t)
}

func inLog(p *stack.Process, text string) error {
	log, err := os.ReadFile(p.LogFile())
	if err == nil && !strings.Contains(string(log), text) {
		err = fmt.Errorf("no %s in the log of %s", text, p.Name())
	}
	return err
}
