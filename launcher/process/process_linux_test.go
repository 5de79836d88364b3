package process

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// If starterVariable is set, this test program starts a child with the log that it names, and waits to be killed. If
// writerVariable is set, all of its threads write without end.
const (
	starterVariable = "PROCESS_TEST_CHILD_LOG"
	writerVariable  = "PROCESS_TEST_WRITER"
)

func TestMain(m *testing.M) {
	if os.Getenv(writerVariable) != "" {
		for range 8 {
			go func() {
				runtime.LockOSThread()
				for {
					fmt.Print("ready ")
				}
			}()
		}
		select {}
	}
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

// Once Pause has returned, no thread of the process does anything.
func TestPausedProcessStandsStill(t *testing.T) {
	p := New(Spec{
		Name: "writer", Command: []string{os.Args[0]}, Env: []string{writerVariable + "=yes"},
		LogFile: filepath.Join(t.TempDir(), "log"), Grace: time.Second,
	})
	defer func() { _ = p.Kill() }()
	if err := p.Launch(); err != nil {
		t.Fatal(err)
	}
	written := func() int64 {
		info, err := os.Stat(p.LogFile())
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	for range 20 {
		before := written()
		within(t, "it writes", func() bool { return written() > before })
		if err := p.Pause(); err != nil {
			t.Fatal(err)
		}
		paused := written()
		time.Sleep(5 * time.Millisecond)
		if now := written(); now != paused {
			t.Fatalf("it has written %d bytes while it was paused", now-paused)
		}
		if err := p.Resume(); err != nil {
			t.Fatal(err)
		}
	}
}

// alive reports whether the process exists and has not ended.
func alive(pid string) bool {
	state, err := readState(filepath.Join("/proc", pid, "stat"))
	return err == nil && state != 'Z' && state != 'X'
}

func within(t *testing.T, what string, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("in vain: %s", what)
		}
	}
}
