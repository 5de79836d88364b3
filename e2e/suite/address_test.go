package suite_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/bankmore/bankmore/e2e/stack"
)

// The limits of account-svc count by the address that the ingress saw, through both sidecars. A customer can log in from an address
// that has not failed. A client cannot choose its address by headers.
func TestLimitsSeeTheClientsAddress(t *testing.T) {
	login := func(cpf, password, address string) int {
		header := http.Header{"Content-Type": {"application/json"}, "X-Forwarded-For": {address}, "X-Real-Ip": {address}, "Forwarded": {"for=" + address}}
		return system.Send(t, "POST", system.URL()+"/api/account/login/", fmt.Sprintf(`{"cpf":%q,"password":%q}`, cpf, password), header).Status
	}
	failUntilLimited := func(cpf string, address func(i int) string) {
		t.Helper()
		for i := range 25 {
			if status := login(cpf, "errada", address(i)); status == http.StatusTooManyRequests {
				return
			} else if status != http.StatusUnauthorized {
				t.Fatalf("attempt %d: %d", i, status)
			}
		}
		t.Fatal("25 attempts, and no limit")
	}
	// limited fails until the limit refuses, and returns the answer to the right password. The limit may let in one more between two
	// requests, but hardly each time.
	limited := func(cpf, password, address string, failing func(i int) string) (status int) {
		t.Helper()
		status = http.StatusOK
		for attempt := 0; status == http.StatusOK && attempt < 10; attempt++ {
			failUntilLimited(cpf, failing)
			status = login(cpf, password, address)
		}
		return status
	}

	cpf, password, _ := system.Register(t, system.API, "Eva Alhures")
	if status := limited(cpf, password, "203.0.113.200", func(i int) string { return fmt.Sprintf("203.0.113.%d", i) }); status != http.StatusTooManyRequests {
		t.Errorf("a client that claims another address gets %d, want 429", status)
	}

	cpf, password, _ = system.Register(t, system.API, "Eva Atrás do Proxy")
	ingress := system.Apps[stack.Ingress].Service
	restart := func(trusted string) {
		t.Helper()
		if err := ingress.Terminate(); err != nil {
			t.Fatal(err)
		}
		ingress.SetEnv("INGRESS_TRUSTED_PROXIES", trusted)
		start(t, ingress)
	}
	restart("127.0.0.1") // we are the proxy now
	defer restart("")
	if status := limited(cpf, password, "203.0.113.1", func(int) string { return "203.0.113.1" }); status != http.StatusTooManyRequests {
		t.Errorf("the address that failed gets %d, want 429", status)
	}
	if status := login(cpf, password, "203.0.113.2"); status != http.StatusOK {
		t.Errorf("another address gets %d, want 200", status)
	}
}
