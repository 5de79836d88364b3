package suite_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/bank"
)

// cli is the terminal of a customer, in front of the built command-line client.
type cli struct {
	url, state, password string
}

func newCLI(t *testing.T, url string) *cli {
	t.Helper()
	c := &cli{url: url, state: t.TempDir(), password: "senha-" + bank.Key()}
	system.KeepSecret(c.password)
	return c
}

func (c *cli) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(system.Bin, "bankmore"), args...)
	cmd.Env = []string{"BANKMORE_URL=" + c.url, "XDG_STATE_HOME=" + c.state, "LANG=en_US.UTF-8"}
	cmd.Stdin = strings.NewReader(c.password)
	return cmd
}

// run runs a command that must exit with a code, and returns what it prints.
func (c *cli) run(t *testing.T, code int, args ...string) string {
	t.Helper()
	cmd := c.command(t, args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || cmd.ProcessState.ExitCode() != code {
		t.Fatalf("bankmore %s: %v, want exit code %d\n%s", strings.Join(args, " "), err, code, out)
	}
	return string(out)
}

// join registers a customer, who logs in, and returns the account's number.
func (c *cli) join(t *testing.T, name string) string {
	t.Helper()
	cpf := bank.NewCPF()
	system.KeepSecret(cpf, bank.Formatted(cpf))
	c.run(t, 0, "register", bank.Formatted(cpf), name, "--password-stdin")
	var session struct {
		Number string `json:"account_number"`
	}
	if err := json.Unmarshal([]byte(c.run(t, 0, "login", cpf, "--password-stdin", "--json")), &session); err != nil || session.Number == "" {
		t.Fatalf("%+v, %v", session, err)
	}
	return session.Number
}

func says(t *testing.T, out string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in\n%s", part, out)
		}
	}
}

// What a customer does at the terminal, from the first command to the last.
func TestCLI(t *testing.T) {
	ana, bia := newCLI(t, system.URL()), newCLI(t, system.URL())
	number, other := ana.join(t, "Ana Terminal"), bia.join(t, "Bia Terminal")
	says(t, ana.run(t, 0, "deposit", "1.000,00"), "R$ 1,000.00 deposited into account "+number)
	says(t, ana.run(t, 3, "transfer", other, "1,000.01"), "The balance is not enough.")
	says(t, ana.run(t, 3, "transfer", number, "1"), "The transfer is not possible.")
	says(t, ana.run(t, 0, "transfer", other, "150.00", "--watch"), "R$ 150.00 transferred to account "+other)
	says(t, bia.run(t, 0, "balance"), "Bia Terminal", "Balance: R$ 150.00")
	bank.Eventually(t, 20*time.Second, func() error { // the fee follows through Kafka
		if out := ana.run(t, 0, "fees"); !strings.Contains(out, "R$ 2.00  charged") {
			return fmt.Errorf("fees: %s", out)
		}
		return nil
	})
	says(t, ana.run(t, 0, "withdraw", "48.00"), "R$ 48.00 withdrawn")
	says(t, ana.run(t, 0, "balance"), "Balance: R$ 800.00")
	says(t, ana.run(t, 0, "statement"), "deposit", "+R$ 1,000.00", "transfer", "-R$ 150.00", "R$ 850.00", other, "fee", "-R$ 2.00", "withdrawal", "-R$ 48.00")
	says(t, ana.run(t, 0, "statement", "--limit", "1"), "withdrawal", "There is more")
	file := filepath.Join(t.TempDir(), "statement")
	for format, has := range map[string][]string{"--csv": {"\ufeff", "-150.00", "Bia Terminal"}, "--ofx": {"<TRNAMT>-150.00", "</OFX>"}} {
		ana.run(t, 0, "statement", "--from", time.Now().Add(-time.Hour).Format(time.RFC3339), format, "-o", file)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		says(t, string(text), has...)
	}
	says(t, ana.run(t, 0, "transfers"), other, "completed", "failed: The balance is not enough.")
	says(t, ana.run(t, 0, "pending"), "no payment whose outcome is not known")
	ana.run(t, 0, "logout")
	ana.run(t, 4, "balance")
	system.CheckBooks(t)
}

// The bank pays, its answer does not arrive, and the program is killed: the same command pays no second time.
func TestCLIPaysOnceAfterALostAnswer(t *testing.T) {
	front, err := url.Parse(system.URL())
	if err != nil {
		t.Fatal(err)
	}
	var lose atomic.Bool
	answered := make(chan int, 1)
	proxy := httputil.NewSingleHostReverseProxy(front)
	proxy.ModifyResponse = func(resp *http.Response) error {
		if lose.Load() && resp.Request.Method == http.MethodPost {
			answered <- resp.StatusCode
			<-resp.Request.Context().Done() // the client is gone
		}
		return nil
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	ana, bia := newCLI(t, server.URL), newCLI(t, system.URL())
	ana.join(t, "Ana Perdida")
	other := bia.join(t, "Bia Perdida")
	ana.run(t, 0, "deposit", "1000")

	lose.Store(true)
	cmd := ana.command(t, "transfer", other, "150.00")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if status := <-answered; status != http.StatusOK {
		t.Errorf("the bank answers %d", status)
	}
	if err := cmd.Process.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	lose.Store(false)
	says(t, bia.run(t, 0, "balance"), "Balance: R$ 150.00")

	says(t, ana.run(t, 0, "pending"), "transfer", other)
	says(t, ana.run(t, 0, "transfer", other, "150.00"), "there was one payment")
	says(t, bia.run(t, 0, "balance"), "Balance: R$ 150.00")
	ana.run(t, 0, "transfer", other, "150.00") // another payment, since the outcome of the first is known
	says(t, bia.run(t, 0, "balance"), "Balance: R$ 300.00")
	system.CheckBooks(t)
}
