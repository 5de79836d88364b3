//go:build crashpoints

package crashpoint

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// arm makes a folder with one armed point, here.now.
func arm(t *testing.T, order string) (reached string) {
	t.Helper()
	before := folder
	folder = t.TempDir()
	t.Cleanup(func() { folder = before })
	armed := filepath.Join(folder, "here.now")
	if err := os.WriteFile(armed, []byte(order), 0o600); err != nil {
		t.Fatal(err)
	}
	return armed + ".reached"
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Of many goroutines that reach an armed point, one stalls until its file is removed. The others pass.
func TestStallHoldsOne(t *testing.T) {
	reached := arm(t, "stall\n")
	var passed atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			Reach("here", "now")
			passed.Add(1)
		})
	}
	for deadline := time.Now().Add(5 * time.Second); (passed.Load() < 19 || !exists(reached)) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(10 * pollInterval)
	if n := passed.Load(); n != 19 {
		t.Errorf("%d of 20 passed", n)
	}
	if err := os.Remove(reached); err != nil {
		t.Fatal(err)
	}
	all.Wait()
}

func TestOtherPointsAndCallersPass(t *testing.T) {
	reached := arm(t, "stall\nnobody.of.that.Name")
	Reach("here", "then")
	Reach("here", "now")
	if exists(reached) {
		t.Error("reached by a caller that was not meant")
	}
}

func meant() { Reach("here", "now") }

func meantIsStopped() bool { return Armed("here", "now") }

// Armed tells the callers who would stop at a point from those who would not. It leaves the point as it is.
func TestArmed(t *testing.T) {
	reached := arm(t, "stall\ncrashpoint.meant")
	for range 2 {
		if !meantIsStopped() || Armed("here", "now") || Armed("here", "then") {
			t.Errorf("armed: %t for the caller who is meant, %t for another, %t at another point",
				meantIsStopped(), Armed("here", "now"), Armed("here", "then"))
		}
	}
	if exists(reached) {
		t.Error("Armed has reached the point")
	}
	if err := os.Rename(reached[:len(reached)-len(".reached")], reached); err != nil {
		t.Fatal(err)
	}
	if meantIsStopped() {
		t.Error("armed after somebody has reached it")
	}
}

func TestOnlyTheNamedCallerStalls(t *testing.T) {
	reached := arm(t, "stall\ncrashpoint.meant")
	Reach("here", "now")
	if exists(reached) {
		t.Fatal("reached by a caller that was not meant")
	}
	done := make(chan struct{})
	go func() {
		meant()
		close(done)
	}()
	for deadline := time.Now().Add(5 * time.Second); !exists(reached); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not reached by the caller that was meant")
		}
	}
	if err := os.Remove(reached); err != nil {
		t.Fatal(err)
	}
	<-done
}

// A process that reaches a point armed with kill dies of SIGKILL.
func TestKill(t *testing.T) {
	if os.Getenv("CRASHPOINTS") != "" {
		Reach("here", "now")
		return
	}
	reached := arm(t, "kill")
	child := exec.Command(os.Args[0], "-test.run=^TestKill$")
	child.Env = append(os.Environ(), "CRASHPOINTS="+folder)
	_ = child.Run()
	status, ok := child.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL || !exists(reached) {
		t.Errorf("%s, reached %t", child.ProcessState, exists(reached))
	}
}
