package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/bankmore/bankmore/launcher/process"
)

// CrashpointsTag builds services whose crash points can be armed: see platform/crashpoint.
const CrashpointsTag = "crashpoints"

// Process is one program of the stack. It can be started, ended and started again, with the same ports and data.
type Process struct {
	*process.Process

	crashpoints string // folder of its traps; "" for a program without crash points
}

// Trap is a crash point of a process that is armed. It snaps once.
type Trap struct {
	process *Process
	point   string
	file    string
}

// What happens at a point: see platform/crashpoint.
const (
	Kill  = "kill"
	Stall = "stall"
)

// How long a trap waits for its prey, and how often it looks.
const (
	trapTimeout  = 30 * time.Second
	trapInterval = 2 * time.Millisecond
)

// Arm arms a crash point of the process, such as commit.before. If function is not "", only for callers who have a
// function on their stack whose name holds it.
func (p *Process) Arm(point, action, function string) (*Trap, error) {
	if p.crashpoints == "" {
		return nil, fmt.Errorf("%s was built without crash points", p.Name())
	}
	trap := &Trap{process: p, point: point, file: filepath.Join(p.crashpoints, point)}
	if err := errors.Join(trap.remove(), os.MkdirAll(p.crashpoints, 0o700)); err != nil {
		return nil, err
	}
	draft := trap.file + ".draft"
	if err := os.WriteFile(draft, []byte(action+"\n"+function), 0o600); err != nil {
		return nil, err
	}
	return trap, os.Rename(draft, trap.file)
}

// Reached waits until the trap has snapped.
func (t *Trap) Reached(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, trapTimeout)
	defer cancel()
	for {
		if t.Snapped() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not come to %s: %w; its log ends with:\n%s", t.process.Name(), t.point, ctx.Err(), t.process.LogTail())
		case <-time.After(trapInterval):
		}
	}
}

// Snapped reports whether the trap has been reached.
func (t *Trap) Snapped() bool {
	_, err := os.Stat(t.file + ".reached")
	return err == nil
}

// Killed waits until the process has ended by the trap.
func (t *Trap) Killed(ctx context.Context) error {
	if err := t.Reached(ctx); err != nil {
		return err
	}
	return t.process.AwaitKilled()
}

// Defuse takes the trap away, unless it has been too late.
func (t *Trap) Defuse() (snapped bool, err error) {
	err = os.Remove(t.file)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// Release disarms the trap, and lets go on whoever stalls there.
func (t *Trap) Release() error { return t.remove() }

func (t *Trap) remove() error {
	var errs []error
	for _, file := range []string{t.file, t.file + ".reached"} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Disarm takes all traps of the process away.
func (p *Process) Disarm() error {
	if p.crashpoints == "" {
		return nil
	}
	return os.RemoveAll(p.crashpoints)
}
