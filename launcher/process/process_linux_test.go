package process

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// If starterVariable is set, this test program starts a child with the log that it names, and waits to be killed.
const starterVariable = "PROCESS_TEST_CHILD_LOG"

func TestMain(m *testing.M) {
	log := os.Getenv(starterVariable)
	if log == "" {
		os.Exit(m.Run())
	}
	child := New(Spec{Name: "child", Command: []string{"sh", "-c", "echo $$; exec sleep 60"}, Env: []string{"PATH=" + os.Getenv("PATH")}, LogFile: log})
	if err := child.Launch(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	select {}
}

// If a program is killed with SIGKILL, the processes that it has started die, too.
func TestProcessesDieWithTheirStarter(t *testing.T) {
	log := filepath.Join(t.TempDir(), "child.log")
	starter := exec.Command(os.Args[0])
	starter.Env = append(os.Environ(), starterVariable+"="+log)
	starter.Stderr = os.Stderr
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = starter.Wait() }()
	defer func() { _ = starter.Process.Kill() }()
	var pid string
	within(t, "the child starts", func() bool {
		raw, err := os.ReadFile(log)
		pid = strings.TrimSpace(string(raw))
		return err == nil && bytes.HasSuffix(raw, []byte("\n")) && alive(pid)
	})
	if err := starter.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	within(t, "the child ends", func() bool { return !alive(pid) })
}

// alive reports whether the process exists and has not ended.
func alive(pid string) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return false
	}
	// The state follows the name, which is in parentheses and may contain any character.
	state := bytes.TrimSpace(stat[bytes.LastIndexByte(stat, ')')+1:])
	return len(state) > 0 && state[0] != 'Z' && state[0] != 'X'
}

func within(t *testing.T, what string, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("in vain: %s", what)
		}
	}
}
