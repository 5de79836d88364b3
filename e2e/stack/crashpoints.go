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

	crashpoints string // folder of the files that arm its crash points; "" for a program without crash points
}

// Crashpoint is a crash point of a process, armed to kill or to hold whoever reaches it first.
type Crashpoint struct {
	process *Process
	point   string
	file    string
}

// What happens at a point: see platform/crashpoint.
const (
	Kill  = "kill"
	Stall = "stall"
)

// How long Reached waits, and how often it looks.
const (
	reachTimeout  = 30 * time.Second
	reachInterval = 2 * time.Millisecond
)

// Arm arms a crash point of the process, such as commit.before. If function is not "", only for callers who have a
// function on their stack whose name holds it.
func (p *Process) Arm(point, action, function string) (*Crashpoint, error) {
	if p.crashpoints == "" {
		return nil, fmt.Errorf("%s was built without crash points", p.Name())
	}
	c := &Crashpoint{process: p, point: point, file: filepath.Join(p.crashpoints, point)}
	if err := errors.Join(c.remove(), os.MkdirAll(p.crashpoints, 0o700)); err != nil {
		return nil, err
	}
	draft := c.file + ".draft"
	if err := os.WriteFile(draft, []byte(action+"\n"+function), 0o600); err != nil {
		return nil, err
	}
	return c, os.Rename(draft, c.file)
}

// Reached waits up to 30 s until somebody has reached the crash point.
func (c *Crashpoint) Reached(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	for {
		if c.Hit() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not come to %s: %w; its log ends with:\n%s", c.process.Name(), c.point, ctx.Err(), c.process.LogTail())
		case <-time.After(reachInterval):
		}
	}
}

// Hit reports whether somebody has reached the crash point.
func (c *Crashpoint) Hit() bool {
	_, err := os.Stat(c.file + ".reached")
	return err == nil
}

// Killed waits until the crash point has killed the process.
func (c *Crashpoint) Killed(ctx context.Context) error {
	if err := c.Reached(ctx); err != nil {
		return err
	}
	return c.process.AwaitKilled()
}

// Disarm disarms the crash point. It reports whether somebody had reached it before.
func (c *Crashpoint) Disarm() (hit bool, err error) {
	err = os.Remove(c.file)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// Release disarms the crash point, and lets whoever is held there go on.
func (c *Crashpoint) Release() error { return c.remove() }

func (c *Crashpoint) remove() error {
	var errs []error
	for _, file := range []string{c.file, c.file + ".reached"} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Disarm disarms all crash points of the process.
func (p *Process) Disarm() error {
	if p.crashpoints == "" {
		return nil
	}
	return os.RemoveAll(p.crashpoints)
}
