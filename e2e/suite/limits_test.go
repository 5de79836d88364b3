package suite_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
)

// A customer who sends too much is told to wait, through the ingress and both sidecars. Other customers and other routes are not.
func TestCustomersAreLimited(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Apressada", ""), system.NewCustomer(t, "Bia Calma", "")
	service := system.Apps["transfer-svc"].Service
	restart := func(rules string) {
		t.Helper()
		if err := service.Terminate(); err != nil {
			t.Fatal(err)
		}
		service.SetEnv("CUSTOMER_RATE_LIMITS", rules)
		start(t, service)
	}
	restart("*=1000000,GET /api/transfer/list=1")
	defer restart("*=1000000")
	list := func(p bank.Customer) client.Answer {
		return system.Send(t, "GET", system.URL()+"/api/transfer/list/", "", p.Header())
	}
	var last client.Answer
	for began, n := time.Now(), 0; float64(n) <= 2+time.Since(began).Seconds(); n++ { // two at once, and one a second
		if last = list(ana); last.Status == http.StatusTooManyRequests {
			break
		}
	}
	bank.WantAnswer(t, "too many", last, http.StatusTooManyRequests, "RATE_LIMITED")
	if last.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", last.Header.Get("Retry-After"))
	}
	if answer := list(bia); answer.Status != http.StatusOK {
		t.Errorf("another customer: %d %s", answer.Status, answer.Body)
	}
	_, err := ana.TransferByID(t.Context(), "019ab0f2-5a3e-7c41-9d3b-2f6f0c9e8a11")
	bank.WantFailure(t, "another route", err, http.StatusNotFound, "INVALID_TRANSFER")
}
