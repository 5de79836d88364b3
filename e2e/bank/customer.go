package bank

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/bankmore/bankmore/client"
)

// Customer has an account and has logged in.
type Customer struct {
	*client.Session

	CPF, Password string
}

// secrets is everything that must never stand in a log.
type secrets struct {
	sync.Mutex
	all []string
}

// KeepSecret adds to what must never stand in a log.
func (b *Bank) KeepSecret(values ...string) {
	b.secrets.Lock()
	defer b.secrets.Unlock()
	b.secrets.all = append(b.secrets.all, values...)
}

// Secrets returns all that must never stand in a log, the tokens of sidecars and services included.
func (b *Bank) Secrets() []string {
	b.secrets.Lock()
	defer b.secrets.Unlock()
	return append([]string{b.AppToken, b.APIToken, b.JWTSecret}, b.secrets.all...)
}

// Formatted writes the 11 digits of a CPF as people do: 529.982.247-25.
func Formatted(cpf string) string {
	return cpf[:3] + "." + cpf[3:6] + "." + cpf[6:9] + "-" + cpf[9:]
}

// Register opens an account through the given client, without logging in.
func (b *Bank) Register(t *testing.T, c *client.Client, name string) (cpf, password, number string) {
	t.Helper()
	cpf, password = NewCPF(), "senha-"+rand.Text()
	b.KeepSecret(cpf, Formatted(cpf), password)
	number, err := c.Register(t.Context(), cpf, name, password)
	if err != nil {
		t.Fatalf("registering %s: %v", name, err)
	}
	b.KeepSecret("/"+number, `"`+number+`"`) // as in a path and in JSON; the digits alone may stand in a time
	return cpf, password, number
}

// NewCustomerThrough registers a customer through the given client, who logs in and makes a deposit unless that is "".
func (b *Bank) NewCustomerThrough(t *testing.T, c *client.Client, name, deposit string) Customer {
	t.Helper()
	cpf, password, number := b.Register(t, c, name)
	session, err := c.Login(t.Context(), cpf, password)
	if err != nil {
		t.Fatalf("login of %s: %v", name, err)
	}
	b.KeepSecret(session.Token)
	if session.Number != number || session.Name != name {
		t.Fatalf("%s with account %s logs in as %s with account %s", name, number, session.Name, session.Number)
	}
	p := Customer{Session: session, CPF: cpf, Password: password}
	if deposit != "" {
		p.Deposit(t, deposit)
	}
	return p
}

// NewCustomer is NewCustomerThrough the ingress.
func (b *Bank) NewCustomer(t *testing.T, name, deposit string) Customer {
	t.Helper()
	return b.NewCustomerThrough(t, b.API, name, deposit)
}

// Header is the headers of a JSON request of the customer.
func (c Customer) Header() http.Header {
	return http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + c.Token}}
}

// Deposit makes a deposit that must succeed.
func (c Customer) Deposit(t *testing.T, amount string) {
	t.Helper()
	if _, err := c.Move(t.Context(), Key(), client.Credit, amount); err != nil {
		t.Fatalf("deposit of %s: %v", amount, err)
	}
}

// Pay makes a transfer that must be completed at once.
func (c Customer) Pay(t *testing.T, to Customer, amount string) client.Receipt {
	t.Helper()
	receipt, err := c.Transfer(t.Context(), Key(), to.Number, amount)
	if err != nil || receipt.Status != client.Completed {
		t.Fatalf("transfer of %s: %+v, %v", amount, receipt, err)
	}
	return receipt
}

// WantBalance checks what the customer has.
func (c Customer) WantBalance(t *testing.T, want string) {
	t.Helper()
	if got, err := c.Balance(t.Context()); err != nil || got != want {
		t.Errorf("%s has %s, want %s (%v)", c.Name, got, want, err)
	}
}

// WaitBalance waits up to 20 s until the customer has an amount, for what happens behind an answer, such as a fee.
func (c Customer) WaitBalance(t *testing.T, want string) {
	t.Helper()
	Eventually(t, 20*time.Second, func() error {
		got, err := c.Balance(t.Context())
		if err == nil && got != want {
			err = fmt.Errorf("%s has %s, want %s", c.Name, got, want)
		}
		return err
	})
}
