package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// output runs the command line and returns its exit code and what it printed.
func output(t *testing.T, commands Commands, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return outputOf(t, commands, nil, args...)
}

func outputOf(t *testing.T, commands Commands, tools []Tool, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	outReader, out := pipe(t)
	errReader, errOut := pipe(t)
	defer func(o, e *os.File) { os.Stdout, os.Stderr = o, e }(os.Stdout, os.Stderr)
	os.Stdout, os.Stderr = out, errOut
	code = run(commands, tools, append([]string{"/opt/bin/thing-svc"}, args...))
	out.Close()
	errOut.Close()
	return code, read(t, outReader), read(t, errReader)
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

func read(t *testing.T, r *os.File) string {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestExitCodes(t *testing.T) {
	before := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	defer slog.SetDefault(before)
	ran := ""
	commands := Commands{
		"serve":  func(context.Context) error { ran = "serve"; return nil },
		"verify": func(context.Context) error { ran = "verify"; return errors.New("violated") },
	}
	const usage = "usage: thing-svc health|ready|serve|verify|version\n"
	for _, test := range []struct {
		args   []string
		code   int
		ran    string
		stderr string
	}{
		{[]string{"serve"}, 0, "serve", ""},
		{[]string{"verify"}, 1, "verify", ""},
		{nil, 2, "", usage},
		{[]string{""}, 2, "", usage},
		{[]string{"nope"}, 2, "", usage},
		{[]string{"--help"}, 2, "", usage},
		{[]string{"SERVE"}, 2, "", usage},
		{[]string{"serve", "now"}, 2, "", usage},
		{[]string{"version", "please"}, 2, "", usage},
	} {
		ran = ""
		code, stdout, stderr := output(t, commands, test.args...)
		if code != test.code || ran != test.ran || stderr != test.stderr || stdout != "" {
			t.Errorf("%q: exit code %d, ran %q, stdout %q, stderr %q", test.args, code, ran, stdout, stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	code, stdout, stderr := output(t, nil, "version")
	if want := "thing-svc " + Version() + "\n"; code != 0 || stdout != want || stderr != "" {
		t.Errorf("exit code %d, stdout %q, stderr %q, want %q", code, stdout, stderr, want)
	}
	if Version() == "" || Version() == "unknown" || strings.ContainsAny(Version(), " \n") {
		t.Errorf("version %q", Version())
	}
}

func TestErrorIsLogged(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	out := new(strings.Builder)
	slog.SetDefault(slog.New(slog.NewTextHandler(out, nil)))
	if code := run(Commands{"serve": func(context.Context) error { return errors.New("port is busy") }}, nil, []string{"x", "serve"}); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(out.String(), "level=ERROR") || !strings.Contains(out.String(), "port is busy") {
		t.Errorf("log: %s", out)
	}
}

func TestSignalsEndTheContext(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		code := run(Commands{"serve": func(ctx context.Context) error {
			if err := syscall.Kill(os.Getpid(), sig); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		}}, nil, []string{"x", "serve"})
		if code != 0 {
			t.Errorf("%v: exit code %d", sig, code)
		}
	}
}

func TestHealthAndReady(t *testing.T) {
	before := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	defer slog.SetDefault(before)
	for command, path := range map[string]string{"health": "/healthz", "ready": "/readyz"} {
		status := http.StatusOK
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != path {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.WriteHeader(status)
		}))
		defer server.Close()
		_, port, err := net.SplitHostPort(server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		check := func(what, address string, want int) {
			t.Helper()
			t.Setenv("LISTEN_ADDRESS", address)
			if code, _, _ := output(t, nil, command); code != want {
				t.Errorf("%s, %s: exit %d, want %d", command, what, code, want)
			}
		}
		check("yes", "0.0.0.0:"+port, 0)
		check("any address", ":"+port, 0)
		check("no port", "nowhere", 1)
		status = http.StatusServiceUnavailable
		check("no", ":"+port, 1)
		server.Close()
		check("gone", ":"+port, 1)
	}
}

func TestTools(t *testing.T) {
	before := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	defer slog.SetDefault(before)
	var got []string
	tools := []Tool{{Name: "mend", Usage: "-why TEXT THING", Run: func(_ context.Context, args []string) error {
		got = args
		switch len(args) {
		case 0:
			return fmt.Errorf("%w: what to mend?", ErrUsage)
		case 1:
			return nil
		default:
			return errors.New("broken for good")
		}
	}}}
	const usage = "usage: thing-svc health|ready|version\nusage: thing-svc mend -why TEXT THING\n"
	for _, test := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"mend", "it"}, 0, ""},
		{[]string{"mend"}, 2, "wrong usage: what to mend?\n" + usage},
		{[]string{"mend", "-why", "old", "it"}, 1, ""},
		{[]string{"break"}, 2, usage},
	} {
		got = nil
		code, stdout, stderr := outputOf(t, nil, tools, test.args...)
		if code != test.code || stderr != test.stderr || stdout != "" || (test.args[0] == "mend" && !slices.Equal(got, test.args[1:])) {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q, arguments %q", test.args, code, stdout, stderr, got)
		}
	}
}
