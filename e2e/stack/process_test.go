package stack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// script is a process that runs a shell script, and is ready when its log says so.
func script(t *testing.T, text string) *Process {
	t.Helper()
	p := &Process{name: "script", command: []string{"sh", "-c", text}, dir: t.TempDir(), grace: 500 * time.Millisecond, env: []string{"PATH=" + os.Getenv("PATH")}}
	p.logFile = filepath.Join(p.dir, "script.log")
	p.ready = func(context.Context) error {
		if strings.Count(p.LogTail(), "ready") <= strings.Count(p.LogTail(), "ended") {
			return errors.New("not ready")
		}
		return nil
	}
	t.Cleanup(func() {
		if err := errors.Join(p.Kill(), p.gone()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestProcess(t *testing.T) {
	p := script(t, `trap 'echo ended; exit 0' TERM; echo ready; while :; do sleep 0.05; done`)
	for range 2 { // it can be started again
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(t.Context()); err == nil {
			t.Error("it was started twice")
		}
		if err := errors.Join(p.Pause(), p.Resume(), p.Terminate(), p.Crashed(), p.gone()); err != nil {
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
	p := script(t, `trap '' TERM; sleep 60 & echo ready; wait; sleep 60`) // with a child, which must go too
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Terminate(); err == nil || !strings.Contains(err.Error(), "still there") {
		t.Errorf("terminating it: %v", err)
	}
	if err := p.gone(); err != nil {
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

func TestPortBlocksDoNotOverlap(t *testing.T) {
	seen := map[int]bool{}
	for range 3 {
		block, err := claimPorts()
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := block.release(); err != nil {
				t.Error(err)
			}
		}()
		for range blockPorts - 1 {
			port := block.take()
			if seen[port] {
				t.Fatalf("port %d was given twice", port)
			}
			seen[port] = true
		}
	}
}

func TestRunFile(t *testing.T) {
	dir := t.TempDir()
	text := "common:\n  configFilePath: c.yaml\n  schedulerHostAddress: \" \"\n  placementHostAddress: \"\"\n  env: {A: common, B: common}\n" +
		"apps:\n- appID: one\n  env: {B: own}\n  configFilePath: own.yaml\n- appID: two\n"
	if err := os.WriteFile(filepath.Join(dir, "dapr.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	apps, err := readRunFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	one, two := apps["one"], apps["two"]
	if one.Env["A"] != "common" || one.Env["B"] != "own" || two.Env["B"] != "common" {
		t.Errorf("environments %v and %v", one.Env, two.Env)
	}
	if got := strings.Join(one.sidecarArguments(), "|"); got != "--config|own.yaml|--placement-host-address||--scheduler-host-address| " {
		t.Errorf("arguments %s", got)
	}
	if got := strings.Join(two.sidecarArguments(), "|"); !strings.HasPrefix(got, "--config|c.yaml") {
		t.Errorf("arguments %s", got)
	}
}
