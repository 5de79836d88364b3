package suite_test

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/contract"
)

// at is a client at another address of this machine than all other tests have.
func at(t *testing.T, address string) *client.Client {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	connections := &http.Transport{DialContext: dialer.DialContext}
	t.Cleanup(connections.CloseIdleConnections)
	return client.New(client.Ingress(system.URL()), system.Contract.Transport(connections))
}

// account-svc stops an address that tries one password on many CPFs, whatever address it claims to have. Then not even a right
// password lets this address in. Other addresses are not stopped.
func TestGuesserIsStopped(t *testing.T) {
	const limit = 100 // failures per minute from one address, as the stack sets it
	ana := system.NewCustomer(t, "Ana Alvo", "")
	bot, tries := at(t, "127.0.0.66"), 0
	began := time.Now()
	guessUntilStopped := func() {
		// So many at once, and so many more a minute; twice that, since account-svc counts alone when Redis is late.
		for float64(tries) <= 2*limit*(1+time.Since(began).Minutes()) {
			body := fmt.Sprintf(`{"cpf":%q,"password":"senha123"}`, bank.NewCPF())
			if tries%4 == 0 {
				body = `{"cpf":"x","password":"senha123"}`
			}
			claimed := fmt.Sprint("203.0.113.", tries)
			answer, err := bot.Send(contract.BadRequest(t.Context()), "POST", system.URL()+"/api/account/login/", []byte(body), http.Header{
				"Content-Type": {"application/json"}, "X-Real-Ip": {claimed}, "X-Forwarded-For": {claimed}, "Forwarded": {"for=" + claimed},
				"Dapr-Caller-App-Id": {"ingress"},
			})
			if err != nil {
				t.Fatal(err)
			}
			if answer.Status == http.StatusTooManyRequests {
				return
			}
			bank.WantAnswer(t, "a guess", answer, http.StatusUnauthorized, "USER_UNAUTHORIZED")
			tries++
		}
		t.Fatalf("not stopped after %d guesses", tries)
	}
	leavesNoTrace(t, guessUntilStopped)
	if tries < limit {
		t.Errorf("stopped after %d guesses", tries)
	}
	var err error
	for attempt := 0; err == nil && attempt < 10; attempt++ { // the limit may let in one more between two requests, but hardly each time
		guessUntilStopped()
		_, err = bot.Login(t.Context(), ana.CPF, ana.Password)
	}
	bank.WantFailure(t, "a right password from there", err, http.StatusTooManyRequests, "RATE_LIMITED")
	for _, address := range []string{"127.0.0.1", "127.0.0.67"} {
		if _, err := at(t, address).Login(t.Context(), ana.CPF, ana.Password); err != nil {
			t.Errorf("from %s: %v", address, err)
		}
	}
}
