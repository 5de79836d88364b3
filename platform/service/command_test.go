package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// output runs the command line of a program with these commands. It returns the exit code and what was printed.
func output(commands []Command, args ...string) (code int, stdout, stderr string) {
	var out, problems strings.Builder
	err := Run(context.Background(), "thing-svc", commands, &out, &problems, args)
	return ExitCode(err), out.String(), problems.String()
}

func TestExitCodes(t *testing.T) {
	var ran []string
	commands := []Command{
		{Name: "serve", Run: func(_ context.Context, out io.Writer, _ *flag.FlagSet, _ []string) error {
			ran = append(ran, "serve")
			fmt.Fprintln(out, "served")
			return nil
		}},
		{Name: "verify", Run: func(context.Context, io.Writer, *flag.FlagSet, []string) error {
			ran = append(ran, "verify")
			return errors.New("violated")
		}},
		{Name: "mend", Usage: "[-why TEXT] THING", Run: func(_ context.Context, _ io.Writer, flags *flag.FlagSet, args []string) error {
			why := flags.String("why", "", "the reason")
			if err := Parse(flags, args); err != nil {
				return err
			}
			if flags.NArg() != 1 {
				return fmt.Errorf("%w: what to mend?", ErrUsage)
			}
			ran = append(ran, *why, flags.Arg(0))
			return nil
		}},
	}
	const usage = "usage: thing-svc serve\nusage: thing-svc verify\nusage: thing-svc mend [-why TEXT] THING\nusage: thing-svc version\n"
	for _, test := range []struct {
		args   []string
		code   int
		ran    []string
		stdout string
		stderr string // its beginning; the usage of all commands is its end
	}{
		{args: []string{"serve"}, ran: []string{"serve"}, stdout: "served\n"},
		{args: []string{"verify"}, code: 1, ran: []string{"verify"}},
		{args: nil, code: 2, stderr: "thing-svc: wrong usage: no command\n"},
		{args: []string{""}, code: 2, stderr: "thing-svc: wrong usage: no command \"\"\n"},
		{args: []string{"nope"}, code: 2, stderr: "thing-svc: wrong usage: no command \"nope\"\n"},
		{args: []string{"--help"}, code: 2, stderr: "thing-svc: wrong usage: no command \"--help\"\n"},
		{args: []string{"SERVE"}, code: 2, stderr: "thing-svc: wrong usage: no command \"SERVE\"\n"},
		{args: []string{"serve", "now"}, code: 2, stderr: "thing-svc: wrong usage: serve takes no arguments\n"},
		{args: []string{"version", "please"}, code: 2, stderr: "thing-svc: wrong usage: version takes no arguments\n"},
		{args: []string{"mend", "it"}, ran: []string{"", "it"}},
		{args: []string{"mend", "-why", "old", "it"}, ran: []string{"old", "it"}},
		{args: []string{"mend"}, code: 2, stderr: "thing-svc: wrong usage: what to mend?\n"},
		{args: []string{"mend", "-how", "it"}, code: 2, stderr: "flag provided but not defined: -how\n"},
		{args: []string{"mend", "-h"}, code: 2, stderr: "Usage of mend:\n"},
	} {
		ran = nil
		code, stdout, stderr := output(commands, test.args...)
		if code != test.code || !slices.Equal(ran, test.ran) || stdout != test.stdout || !strings.HasPrefix(stderr, test.stderr) ||
			(code == 2) != strings.HasSuffix(stderr, usage) || code != 2 && stderr != "" {
			t.Errorf("%q: exit code %d, ran %q, stdout %q, stderr %q", test.args, code, ran, stdout, stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	code, stdout, stderr := output(nil, "version")
	if want := "thing-svc " + Version() + "\n"; code != 0 || stdout != want || stderr != "" {
		t.Errorf("exit code %d, stdout %q, stderr %q, want %q", code, stdout, stderr, want)
	}
	if Version() == "" || Version() == "unknown" || strings.ContainsAny(Version(), " \n") {
		t.Errorf("version %q", Version())
	}
}

func TestSignalsEndTheContext(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		code, _, _ := output([]Command{{Name: "serve", Run: func(ctx context.Context, _ io.Writer, _ *flag.FlagSet, _ []string) error {
			if err := syscall.Kill(os.Getpid(), sig); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		}}}, "serve")
		if code != 0 {
			t.Errorf("%v: exit code %d", sig, code)
		}
	}
}

func TestHealthAndReady(t *testing.T) {
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
			if code := ExitCode(Service{}.Run(t.Context(), io.Discard, io.Discard, command)); code != want {
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
