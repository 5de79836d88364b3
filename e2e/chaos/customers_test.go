package chaos_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

// Row 18: account-svc dies after it has committed a registration, or a closing, and before it has answered. The sidecar or the
// client repeats the request, which succeeds. Then a sender and a receiver close their accounts while a transfer is on its way
// between them. The refund goes to the closed account, and an operator reopens it for its owner.
func lostCustomers(s *scenario) {
	s.repeat(func(int) {
		p := s.registeredDespite(fmt.Sprintf("Ana Dezoito %s", bank.Key()))
		s.closedDespite(p)
		s.refundedAfterClosing()
		s.checked(3)
	})
}

// registeredDespite registers a customer while account-svc dies after the commit.
func (s *scenario) registeredDespite(name string) bank.Customer {
	s.Helper()
	cpf, password := bank.NewCPF(), "senha-"+bank.Key()
	system.KeepSecret(cpf, bank.Formatted(cpf), password)
	armed := s.arm("account-svc", "customers.registered", stack.Kill, "")
	answered := s.repeated("POST", "/api/account/register/", fmt.Sprintf(`{"cpf":%q,"name":%q,"password":%q}`, cpf, name, password), bank.JSONOnly)
	s.killedAt("account-svc", armed)
	answer := <-answered
	var out struct {
		AccountNumber string `json:"account_number"`
	}
	if err := json.Unmarshal(answer.Body, &out); err != nil || answer.Status != http.StatusCreated || !answer.Replayed() {
		s.violated("the registration that was repeated: %d %s, marked as a repetition: %t", answer.Status, answer.Body, answer.Replayed())
		s.FailNow()
	}
	if found := s.line("SELECT a.number FROM account.customers c JOIN account.accounts a ON a.id = c.account_id WHERE c.name = $1", name); !slices.Equal(found, []string{out.AccountNumber}) {
		s.violated("%s was told of account %s and has %q", name, out.AccountNumber, found)
	}
	session, err := system.API.Login(s.Context(), cpf, password)
	s.must(err)
	system.KeepSecret(session.Token)
	return bank.Customer{Session: session, CPF: cpf, Password: password}
}

// closedDespite closes an account while account-svc dies after the commit.
func (s *scenario) closedDespite(p bank.Customer) {
	s.Helper()
	const closings = "SELECT CAST(deactivated_at AS TEXT) FROM account.accounts WHERE number = $1 AND deactivated_at IS NOT NULL"
	armed := s.arm("account-svc", "customers.deactivated", stack.Kill, "")
	answered := s.repeated("PUT", "/api/account/deactivate/", fmt.Sprintf(`{"password":%q}`, p.Password), p.Header())
	s.must(armed.Killed(s.Context()))
	before := s.line(closings, p.Number)
	s.must(service("account-svc").Start(s.Context()))
	if answer := <-answered; answer.Status != http.StatusNoContent {
		s.violated("the closing that was repeated: %d %s", answer.Status, answer.Body)
	}
	if after := s.line(closings, p.Number); len(before) != 1 || !slices.Equal(before, after) {
		s.violated("account %s was closed at %q, and after the repetition at %q", p.Number, before, after)
	}
}

// refundedAfterClosing has money come back to an account that was closed meanwhile.
func (s *scenario) refundedAfterClosing() {
	s.Helper()
	ana, cai := system.NewCustomer(s.T, "Ana Volta", "10.00"), system.NewCustomer(s.T, "Caio Fecha", "")
	debited := s.arm("transfer-svc", "recorded.DEBITED", stack.Stall, byRequest)
	failed := make(chan error, 1)
	ctx := s.Context()
	go func() {
		_, err := ana.Transfer(ctx, bank.Key(), cai.Number, "10.00")
		failed <- err
	}()
	s.must(debited.Reached(s.Context()))
	s.must(ana.Deactivate(s.Context(), ana.Password))
	s.must(cai.Deactivate(s.Context(), cai.Password))
	s.must(debited.Release())
	<-failed // whatever it was told in time: the books say what became of it
	s.must(bank.Within(*patienceFlag, func() error {
		refunded := s.line(`SELECT CAST(balance AS TEXT) FROM account.accounts WHERE number = $1 AND deactivated_at IS NOT NULL`, ana.Number)
		if !slices.Equal(refunded, []string{"1000"}) {
			return fmt.Errorf("the closed account %s has %q", ana.Number, refunded)
		}
		return nil
	}))

	out, err := service("account-svc").Run("verify")
	if err != nil || !strings.Contains(string(out), "WARNING a closed account holds no money: account "+ana.Number+" holds 1000") {
		s.violated("verify does not name account %s: %v\n%s", ana.Number, err, out)
	}
	if out, err := service("account-svc").RunWith([]string{"reopen", "-reason", "row 18", ana.Number}); err != nil {
		s.Fatalf("reopen: %v\n%s", err, out)
	}
	session, err := system.API.Login(s.Context(), ana.CPF, ana.Password)
	s.must(err)
	system.KeepSecret(session.Token)
	ana.Session = session
	ana.WaitBalance(s.T, "10.00") // a service may believe for some seconds that the account is closed
	_, err = ana.Move(s.Context(), bank.Key(), client.Debit, "10.00")
	s.must(err)
	s.must(ana.Deactivate(s.Context(), ana.Password))
}

// repeated sends a request in the background. It repeats the request until it gets an answer other than 5xx.
func (s *scenario) repeated(method, path, body string, header http.Header) <-chan client.Answer {
	answered, ctx := make(chan client.Answer, 1), s.Context()
	go func() {
		var answer client.Answer
		for limit := time.Now().Add(*patienceFlag); time.Now().Before(limit); time.Sleep(200 * time.Millisecond) {
			var err error
			if answer, err = system.API.Send(ctx, method, system.URL()+path, []byte(body), header); err == nil && answer.Status < http.StatusInternalServerError {
				break
			}
		}
		answered <- answer
	}()
	return answered
}

// line returns what a query of one text column finds in the books.
func (s *scenario) line(query string, args ...any) []string {
	s.Helper()
	conn := system.OpenBooks(s.T)
	defer conn.Close()
	found, err := bank.Lines(s.Context(), conn, query, args...)
	s.must(err)
	return found
}
