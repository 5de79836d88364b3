package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// script returns a process that runs a shell script. It is ready once its log says so.
func script(t *testing.T, text string) *Process {
	t.Helper()
	spec := Spec{Name: "script", Command: []string{"sh", "-c", text}, Dir: t.TempDir(), Grace: 10 * time.Second, Env: []string{"PATH=" + os.Getenv("PATH")}}
	spec.LogFile = filepath.Join(spec.Dir, "script.log")
	var p *Process
	spec.Ready = func(context.Context) error {
		if strings.Count(p.LogTail(), "ready") <= strings.Count(p.LogTail(), "ended") {
			return errors.New("not ready")
		}
		return nil
	}
	p = New(spec)
	t.Cleanup(func() {
		if err := errors.Join(p.Kill(), p.Gone()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestProcess(t *testing.T) {
	p := script(t, `trap 'echo ended; exit 0' TERM; sleep 60 & echo ready; wait`)
	for range 2 { // it can be started again
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(t.Context()); err == nil {
			t.Error("it was started twice")
		}
		if err := errors.Join(p.Pause(), p.Resume(), p.Terminate(), p.Crashed(), p.Gone()); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(p.LogTail(), "ended"); n != 2 {
		t.Errorf("it was told to end %d times: %s", n, p.LogTail())
	}
	if p.Running() {
		t.Error("it still runs")
	}
}

func TestProcessThatIgnoresSIGTERM(t *testing.T) {
	p := script(t, `trap '' TERM; sleep 60 & echo ready; wait; sleep 60`) // with a child, which must end, too
	p.spec.Grace = 500 * time.Millisecond
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Terminate(); err == nil || !strings.Contains(err.Error(), "still there") {
		t.Errorf("terminating it: %v", err)
	}
	if err := p.Gone(); err != nil {
		t.Error(err)
	}
}

func TestProcessThatCrashes(t *testing.T) {
	p := script(t, `echo a clear reason; exit 3`)
	if err := p.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "a clear reason") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("starting it: %v", err)
	}
	if err := p.Crashed(); err == nil {
		t.Error("the crash was not noticed")
	}
}

// Crashed still reports a crash after the process is started again, and each time that it is called.
func TestProcessThatCrashesAndIsStartedAgain(t *testing.T) {
	p := script(t, `echo ready; trap 'echo ended; exit 0' TERM; while [ ! -e die ]; do sleep 0.02; done; rm die; echo ended; exit 3`)
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := p.PID()
	if err := os.WriteFile(filepath.Join(p.spec.Dir, "die"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	<-p.Exited()
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.Crashed(); err == nil || !strings.Contains(err.Error(), "exit status 3") {
			t.Errorf("the crash is forgotten: %v", err)
		}
	}
	if p.PID() == first {
		t.Error("it has the id of the process before")
	}
	if err := p.Terminate(); err != nil {
		t.Error(err)
	}
	if err := p.Crashed(); err == nil || strings.Count(err.Error(), "ended by itself") != 1 {
		t.Errorf("one crash, and one end that was asked for: %v", err)
	}
}

// Launch kills children that an earlier process has left behind. So does Terminate if the process itself has ended already.
func TestLeftoversAreSwept(t *testing.T) {
	p := script(t, `sleep 60 & echo ready; exit 3`)
	for range 2 {
		if err := p.Launch(); err != nil {
			t.Fatal(err)
		}
		<-p.Exited()
	}
	if status := p.Status(); status != "exit status 3" {
		t.Errorf("status %q", status)
	}
	if err := errors.Join(p.Terminate(), p.Gone()); err != nil {
		t.Error(err)
	}
}

// Stop does not wait for the grace period once its context ends.
func TestStopWithoutPatience(t *testing.T) {
	p := script(t, `trap '' TERM; echo ready; while :; do sleep 0.05; done`)
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errors.Join(p.Stop(ctx), p.Gone()); err != nil {
		t.Error(err)
	}
}
