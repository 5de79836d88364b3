package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/client"
	"github.com/bankmore/bankmore/e2e/contract"
)

// at is a client at another address of this machine than all other tests have.
func at(t *testing.T, address string) *client.Client {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	connections := &http.Transport{DialContext: dialer.DialContext}
	t.Cleanup(connections.CloseIdleConnections)
	return client.New(client.OneDoor(system.URL()), book.Transport(connections))
}

// One address that tries one password on many CPFs is stopped, whatever address it claims to have, and nobody else is.
// A right password does not let it in either.
func TestGuesserIsStopped(t *testing.T) {
	const (
		limit   = 100 // failures per minute from one address, as the stack sets it
		another = time.Minute / limit
	)
	ana := newPerson(t, "Ana Alvo", "")
	bot, tries := at(t, "127.0.0.66"), 0
	guessUntilStopped := func() {
		for last := tries + 2*limit; tries < last; {
			body := fmt.Sprintf(`{"cpf":%q,"password":"senha123"}`, client.NewCPF())
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
			wantAnswer(t, "a guess", answer, http.StatusUnauthorized, "USER_UNAUTHORIZED")
			tries++
		}
		t.Fatalf("not stopped after %d guesses", tries)
	}
	leavesNoTrace(t, guessUntilStopped)
	if tries < limit {
		t.Errorf("stopped after %d guesses", tries)
	}
	for attempt := 1; ; attempt++ {
		guessUntilStopped() // the limit has let in one more since, every 0.6 s
		stopped := time.Now()
		_, err := bot.Login(t.Context(), ana.cpf, ana.password)
		if err == nil && time.Since(stopped) > another && attempt < 10 {
			continue // too late to tell
		}
		wantFailure(t, "a right password from there", err, http.StatusTooManyRequests, "RATE_LIMITED")
		break
	}
	for _, address := range []string{"127.0.0.1", "127.0.0.67"} {
		if _, err := at(t, address).Login(t.Context(), ana.cpf, ana.password); err != nil {
			t.Errorf("from %s: %v", address, err)
		}
	}
}

// Somebody who knows a CPF tries passwords from many addresses, so that the customer's limit is used up; the owner, at
// another address, is let in.
func TestStrangersLockNobodyOut(t *testing.T) {
	ana := newPerson(t, "Ana Trancada", "")
	refused := 0
	for n := range 15 {
		bot := at(t, fmt.Sprint("127.0.1.", n+1))
		for range 2 { // the second one counts as what it is: of an address that has failed
			_, err := bot.Login(t.Context(), ana.cpf, "errada")
			if unlikeFailure(err, http.StatusTooManyRequests, "RATE_LIMITED") == "" {
				refused++
			} else {
				wantFailure(t, "a guess", err, http.StatusUnauthorized, "USER_UNAUTHORIZED")
			}
		}
	}
	if refused == 0 {
		t.Error("the customer's limit refuses nobody")
	}
	if _, err := at(t, "127.0.2.1").Login(t.Context(), ana.cpf, ana.password); err != nil {
		t.Errorf("the owner: %v", err)
	}
}
