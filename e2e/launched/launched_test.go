// Package launched_test holds `make run` against its promises: the launcher itself, with real programs, in a folder and
// on ports of its own.
package launched_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/stack"
	"github.com/bankmore/bankmore/launcher/process"
)

// soon is how long the front door may stay closed after any one program has been killed.
const soon = 5 * time.Second

// bin holds what was built for all tests.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "bankmore-bin-")
	if err == nil {
		defer os.RemoveAll(dir)
		bin, err = dir, stack.BuildLaunched(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func prepare(t *testing.T, edit func(string) string) *stack.Launched {
	t.Helper()
	l, err := stack.NewLaunched(bin, edit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(l.Output())
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// Each program is killed in turn: it comes back by itself, the launcher says so, and the front door is open again soon.
// Then the launcher ends everything when it is told to, starts again on the same data, and is killed: nothing outlives it.
func TestWhatIsKilledComesBack(t *testing.T) {
	l := prepare(t, nil)
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	demo(t, l)
	wantTokens(t, l)

	commands := map[string]string{"broker": "broker"}
	names := []string{"broker"}
	for _, a := range l.Apps {
		commands[a.ID], commands[a.ID+"-sidecar"] = strings.Join(a.Command, " "), "--app-id "+a.ID+" "
		names = append(names, a.ID, a.ID+"-sidecar")
	}
	for _, name := range names {
		before := strings.Count(l.Output(), name+" is back after")
		pid := child(t, l, commands[name])
		killed := time.Now()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		within(t, soon, name+" is killed", func() error {
			if strings.Count(l.Output(), name+" is back after") == before {
				return fmt.Errorf("the launcher does not say that %s is back", name)
			}
			return l.Answers(t.Context())
		})
		t.Logf("%s killed: the front door is open after %.1f s", name, time.Since(killed).Seconds())
		if again := child(t, l, commands[name]); again == pid {
			t.Errorf("%s has its old process id", name)
		}
		if want := name + " ended by itself (signal: killed); it is started again"; !strings.Contains(l.Output(), want) {
			t.Errorf("the launcher does not say %q", want)
		}
	}
	demo(t, l)

	if err := l.Terminate(); err != nil {
		t.Fatal(err)
	}
	if status := l.Status(); status != "exit status 0" || !strings.Contains(l.Output(), "stopped; the data is in .data") {
		t.Errorf("told to end, the launcher ends with %s", status)
	}
	if left := l.Left(); len(left) > 0 {
		t.Errorf("after the launcher, somebody listens on %d", left)
	}

	if err := l.Launch(); err != nil {
		t.Fatal(err)
	}
	within(t, 30*time.Second, "started again", func() error { return l.Answers(t.Context()) })
	// Only the launcher itself: the other processes are in groups of their own.
	if err := l.Kill(); err != nil {
		t.Fatal(err)
	}
	within(t, soon, "the launcher is killed", func() error {
		if left := l.Left(); len(left) > 0 {
			return fmt.Errorf("somebody listens on %d", left)
		}
		return nil
	})
}

// A program that cannot run makes the launcher say so, end everything, and fail.
func TestWhatCannotRunIsGivenUp(t *testing.T) {
	command := regexp.MustCompile(`command: \[bin/fee-svc, serve\]`)
	l := prepare(t, func(runFile string) string {
		if !command.MatchString(runFile) {
			t.Fatal("dapr.yaml does not start fee-svc as expected")
		}
		return command.ReplaceAllString(runFile, `command: [sh, -c, "echo a clear reason; exit 3"]`)
	})
	began := time.Now()
	if err := l.Launch(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-l.Exited():
	case <-time.After(time.Minute):
		t.Fatal("the launcher does not end")
	}
	t.Logf("given up after %.1f s", time.Since(began).Seconds())
	if status := l.Status(); status != "exit status 1" {
		t.Errorf("the launcher ends with %s", status)
	}
	for _, want := range []string{"make run: fee-svc has ended 5 times within 1m0s (exit status 3)", "a clear reason"} {
		if !strings.Contains(l.Output(), want) {
			t.Errorf("the launcher does not say %q", want)
		}
	}
	if left := l.Left(); len(left) > 0 {
		t.Errorf("after the launcher, somebody listens on %d", left)
	}
}

// wantTokens checks that the launcher has given each sidecar a token that a stranger does not have.
func wantTokens(t *testing.T, l *stack.Launched) {
	t.Helper()
	for _, a := range l.Apps {
		for _, path := range []string{"/v1.0/invoke/account-svc/method/api/schema/account", "/v1.0/metadata"} {
			if err := process.Expect(t.Context(), fmt.Sprintf("http://127.0.0.1:%d%s", a.HTTPPort, path), http.StatusUnauthorized); err != nil {
				t.Error(err)
			}
		}
	}
	// A service wants the sidecar's token where only sidecars may call.
	for _, a := range l.Apps {
		if a.ID != "account-svc" {
			continue
		}
		resp, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/internal/movements", a.AppPort), "application/json", strings.NewReader(`{"commands":[]}`))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("an internal route without the app's token: status %d", resp.StatusCode)
		}
	}
}

// child is the process of the launcher whose command line holds that text.
func child(t *testing.T, l *stack.Launched, command string) int {
	t.Helper()
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(l.PID()), "-f", "--", regexp.QuoteMeta(command)).Output()
	pids := strings.Fields(string(out))
	if err != nil || len(pids) != 1 {
		t.Fatalf("%q: %q, %v, want one process", command, pids, err)
	}
	pid, err := strconv.Atoi(pids[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// demo runs make demo's script.
func demo(t *testing.T, l *stack.Launched) {
	t.Helper()
	root, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	script := exec.CommandContext(t.Context(), "bash", filepath.Join(root, "scripts", "demo.sh"))
	script.Env = append(script.Environ(), "BANKMORE_URL="+l.URL(), "BANKMORE_CLI="+filepath.Join(bin, "bankmore"))
	if out, err := script.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func within(t *testing.T, limit time.Duration, when string, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s after %s: %v", when, limit, err)
		}
	}
}
