package e2e_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/client"
)

// person is a customer who has logged in through the ingress.
type person struct {
	*client.Session

	cpf, password string
}

// secrets is everything that must never stand in a log.
var secrets struct {
	sync.Mutex
	all []string
}

func keepSecret(values ...string) {
	secrets.Lock()
	defer secrets.Unlock()
	secrets.all = append(secrets.all, values...)
}

func formatted(cpf string) string {
	return cpf[:3] + "." + cpf[3:6] + "." + cpf[6:9] + "-" + cpf[9:]
}

// register opens an account through the given client, without logging in.
func register(t *testing.T, c *client.Client, name string) (cpf, password, number string) {
	t.Helper()
	cpf, password = client.NewCPF(), "senha-"+rand.Text()
	keepSecret(cpf, formatted(cpf), password)
	number, err := c.Register(t.Context(), cpf, name, password)
	if err != nil {
		t.Fatalf("registering %s: %v", name, err)
	}
	keepSecret("/"+number, `"`+number+`"`) // as in a path and in JSON; the digits alone may stand in a time
	return cpf, password, number
}

// newPersonThrough is a new customer, with a deposit unless that is "".
func newPersonThrough(t *testing.T, c *client.Client, name, deposit string) person {
	t.Helper()
	cpf, password, number := register(t, c, name)
	session, err := c.Login(t.Context(), cpf, password)
	if err != nil {
		t.Fatalf("login of %s: %v", name, err)
	}
	keepSecret(session.Token)
	if session.Number != number || session.Name != name {
		t.Fatalf("%s with account %s logs in as %s with account %s", name, number, session.Name, session.Number)
	}
	p := person{Session: session, cpf: cpf, password: password}
	if deposit != "" {
		p.deposit(t, deposit)
	}
	return p
}

func newPerson(t *testing.T, name, deposit string) person {
	t.Helper()
	return newPersonThrough(t, api, name, deposit)
}

func (p person) deposit(t *testing.T, amount string) {
	t.Helper()
	if _, err := p.Move(t.Context(), key(), client.Credit, amount); err != nil {
		t.Fatalf("deposit of %s: %v", amount, err)
	}
}

// pay makes a transfer that must be completed at once.
func (p person) pay(t *testing.T, to person, amount string) client.Receipt {
	t.Helper()
	receipt, err := p.Transfer(t.Context(), key(), to.Number, amount)
	if err != nil || receipt.Status != client.Completed {
		t.Fatalf("transfer of %s: %+v, %v", amount, receipt, err)
	}
	return receipt
}

func (p person) wantBalance(t *testing.T, want string) {
	t.Helper()
	if got, err := p.Balance(t.Context()); err != nil || got != want {
		t.Errorf("%s has %s, want %s (%v)", p.Name, got, want, err)
	}
}

// waitBalance waits for what happens behind an answer, such as a fee.
func (p person) waitBalance(t *testing.T, want string) {
	t.Helper()
	eventually(t, 20*time.Second, func() error {
		got, err := p.Balance(t.Context())
		if err == nil && got != want {
			err = fmt.Errorf("%s has %s, want %s", p.Name, got, want)
		}
		return err
	})
}

// key is a fresh idempotency key.
func key() string { return rand.Text() }

// eventually repeats check until it succeeds.
func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	if err := within(limit, check); err != nil {
		t.Fatal(err)
	}
}

// within repeats check until it succeeds.
func within(limit time.Duration, check func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("still after %s: %w", limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// wantFailure checks that err is an answer with that status and type.
func wantFailure(t *testing.T, what string, err error, status int, failureType string) {
	t.Helper()
	if problem := unlikeFailure(err, status, failureType); problem != "" {
		t.Errorf("%s: %s", what, problem)
	}
}

// unlikeFailure says how err differs from an answer with that status and type, if it does.
func unlikeFailure(err error, status int, failureType string) (problem string) {
	var failure *client.Failure
	if !errors.As(err, &failure) || failure.Status != status || failure.Type != failureType {
		return fmt.Sprintf("%v, want %d %s", err, status, failureType)
	}
	return ""
}

// wantAnswer checks an answer to a raw request; failureType is "" for a success.
func wantAnswer(t *testing.T, what string, got client.Answer, status int, failureType string) {
	t.Helper()
	if failure := client.FailureFrom(got); got.Status != status || (status >= http.StatusBadRequest && failure.Type != failureType) {
		t.Errorf("%s: %d %.300s, want %d %s", what, got.Status, got.Body, status, failureType)
	}
	if got.Header.Get("X-Request-ID") == "" {
		t.Errorf("%s: no X-Request-ID", what)
	}
}
