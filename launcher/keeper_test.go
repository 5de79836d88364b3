package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bankmore/bankmore/launcher/process"
)

// kept is a shell script that a keeper keeps running, and what the keeper said.
type kept struct {
	*process.Process
	keeper *keeper

	mu   sync.Mutex
	said []string
}

func keepScript(t *testing.T, rule rule, text string) *kept {
	t.Helper()
	dir := t.TempDir()
	k := &kept{}
	k.Process = process.New(process.Spec{
		Name: "script", Command: []string{"sh", "-c", text}, Dir: dir, Env: []string{"PATH=" + os.Getenv("PATH")},
		LogFile: filepath.Join(dir, "script.log"), Ready: func(context.Context) error { return nil }, Grace: time.Second,
	})
	k.keeper = newKeeper(rule, func(format string, args ...any) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.said = append(k.said, fmt.Sprintf(format, args...))
	})
	ctx, release := context.WithCancel(t.Context())
	if err := k.keeper.keep(ctx, k.Process); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		release()
		k.keeper.all.Wait()
		if err := k.Kill(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// starts returns how often the script has started.
func (k *kept) starts() int { return strings.Count(k.LogTail(), "begun") }

func (k *kept) failure(t *testing.T) error {
	t.Helper()
	select {
	case err := <-k.keeper.failed:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("the script is never given up")
		return nil
	}
}

func TestWhatEndsIsStartedAgain(t *testing.T) {
	k := keepScript(t, rule{most: 5, within: time.Minute, pause: time.Millisecond}, `echo begun; [ $(grep -c begun script.log) -ge 4 ] && exec sleep 60; exit 3`)
	for limit := time.Now().Add(10 * time.Second); k.starts() < 4; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("started %d times, want 4", k.starts())
		}
	}
	k.mu.Lock()
	said := strings.Join(k.said, "\n")
	k.mu.Unlock()
	for _, want := range []string{"script ended by itself (exit status 3); it is started again", "script is back after", "it is started again in 2ms"} {
		if !strings.Contains(said, want) {
			t.Errorf("the keeper says nothing like %q:\n%s", want, said)
		}
	}
	select {
	case err := <-k.keeper.failed:
		t.Errorf("given up: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
}

func TestWhatCannotStayIsGivenUp(t *testing.T) {
	k := keepScript(t, rule{most: 5, within: time.Minute, pause: 10 * time.Millisecond}, `echo begun; echo a clear reason; exit 3`)
	began := time.Now()
	err := k.failure(t)
	for _, want := range []string{"script has ended 5 times within 1m0s", "exit status 3", "a clear reason"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %q", want, err)
		}
	}
	if n := k.starts(); n != 5 {
		t.Errorf("started %d times, want 5", n)
	}
	if took := time.Since(began); took < 70*time.Millisecond { // 10, 20 and 40
		t.Errorf("given up after %s: without pauses that grow", took)
	}
}

// The keeper does not give up a program whose ends are far apart.
func TestOldEndsAreForgotten(t *testing.T) {
	k := keepScript(t, rule{most: 2, within: 50 * time.Millisecond, pause: time.Millisecond}, `echo begun; sleep 0.2; exit 3`)
	for limit := time.Now().Add(20 * time.Second); k.starts() < 4; time.Sleep(5 * time.Millisecond) {
		select {
		case err := <-k.keeper.failed:
			t.Fatal(err)
		default:
		}
		if time.Now().After(limit) {
			t.Fatalf("started %d times, want 4", k.starts())
		}
	}
}

// After the system releases its programs, the keeper does not restart a program that ends.
func TestReleasedProgramsStayAway(t *testing.T) {
	k := &kept{}
	dir := t.TempDir()
	k.Process = process.New(process.Spec{
		Name: "script", Command: []string{"sleep", "60"}, Env: []string{"PATH=" + os.Getenv("PATH")}, LogFile: filepath.Join(dir, "script.log"),
	})
	k.keeper = newKeeper(usual, t.Logf)
	ctx, release := context.WithCancel(t.Context())
	if err := k.keeper.keep(ctx, k.Process); err != nil {
		t.Fatal(err)
	}
	release()
	k.keeper.all.Wait()
	if err := k.Kill(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if k.Running() {
		t.Error("it was started again")
	}
}

// Each run has new tokens, unless the user has exported some.
func TestTokens(t *testing.T) {
	const variable = "LAUNCHER_TEST_TOKEN"
	if one, two := token(variable), token(variable); one == two || len(one) < 20 {
		t.Errorf("tokens %q and %q", one, two)
	}
	t.Setenv(variable, "brought")
	if got := token(variable); got != "brought" {
		t.Errorf("token %q", got)
	}
}
