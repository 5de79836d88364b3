package main

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMain is the program itself in the processes that the tests start.
func TestMain(m *testing.M) {
	if os.Getenv("BANKMORE_TEST_MAIN") == "1" {
		main()
	}
	os.Exit(m.Run())
}

// program returns the program, with the session of a customer of a bank.
func program(t *testing.T, bank http.HandlerFunc, state string, args ...string) (cmd *exec.Cmd, problems *bytes.Buffer) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(req.URL.Path, "login") {
			_, _ = w.Write([]byte(`{"token":"t","account_number":"7907027952","name":"Ana Souza"}`))
			return
		}
		bank(w, req)
	}))
	t.Cleanup(server.Close)
	made := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
		cmd.Env = []string{"BANKMORE_TEST_MAIN=1", "BANKMORE_URL=" + server.URL, "XDG_STATE_HOME=" + state, "LANG=en_US.UTF-8"}
		return cmd
	}
	login := made("login", "52998224725", "--password-stdin")
	login.Stdin = strings.NewReader("senha-da-ana")
	if out, err := login.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd, problems = made(args...), new(bytes.Buffer)
	cmd.Stderr = problems
	return cmd, problems
}

func wantExit(t *testing.T, err error, code int, problems *bytes.Buffer, says string) {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != code || !strings.Contains(problems.String(), says) {
		t.Errorf("%v, want code %d and %q:\n%s", err, code, says, problems)
	}
}

// A reader that ends early, as head does, is told of, and hides no payment: its key stays.
func TestBrokenPipe(t *testing.T) {
	for _, test := range []struct {
		args   []string
		status int
		body   string
		code   int
		says   string
		keys   int
	}{
		{[]string{"balance"}, 200, `{"account_number":"7907027952","account_name":"Ana Souza","balance":"1.00"}`, 1, "could not be written", 0},
		{[]string{"deposit", "1.00"}, 204, "", 6, "could not be shown", 1},
	} {
		state := t.TempDir()
		cmd, problems := program(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			_, _ = w.Write([]byte(test.body))
		}, state, test.args...)
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		_ = reader.Close()
		cmd.Stdout = writer
		wantExit(t, cmd.Run(), test.code, problems, test.says)
		_ = writer.Close()
		if keys, err := filepath.Glob(state + "/bankmore/payments/*.json"); err != nil || len(keys) != test.keys {
			t.Errorf("%q: keys %q, %v", test.args, keys, err)
		}
	}
}

// Ctrl-C while the bank does not answer.
func TestInterrupt(t *testing.T) {
	for _, test := range []struct {
		args   []string
		signal os.Signal
		code   int
		says   string
	}{
		{[]string{"balance"}, os.Interrupt, 130, "Interrupted."},
		{[]string{"transfer", "1048576021", "1.00"}, os.Interrupt, 6, "Repeat the same command"},
		{[]string{"transfer", "1048576021", "1.00"}, syscall.SIGTERM, 6, "Repeat the same command"},
	} {
		asked := make(chan struct{})
		cmd, problems := program(t, func(_ http.ResponseWriter, req *http.Request) {
			close(asked)
			_ = req.Body.Close()
			<-req.Context().Done()
		}, t.TempDir(), test.args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-asked
		if err := cmd.Process.Signal(test.signal); err != nil {
			t.Fatal(err)
		}
		wantExit(t, cmd.Wait(), test.code, problems, test.says)
	}
}
