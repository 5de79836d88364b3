//go:build crashpoints

package crashpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

var folder = os.Getenv("CRASHPOINTS")

// pollInterval is how often a stalled goroutine checks whether it may go on.
const pollInterval = 2 * time.Millisecond

// Reach says that the caller has reached a point. If the point is armed, Reach returns late or never.
func Reach(where, what string) {
	if folder == "" {
		return
	}
	armed := filepath.Join(folder, where+"."+what)
	order, err := os.ReadFile(armed)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	action, function, _ := strings.Cut(strings.TrimSpace(string(order)), "\n")
	if err != nil || (function != "" && !onStack(function)) {
		return
	}
	reached := armed + ".reached"
	if os.Rename(armed, reached) != nil {
		return // another came first
	}
	slog.Warn("crash point reached", "point", where+"."+what, "action", action)
	switch action {
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until the signal has been delivered
	case "stall":
		for {
			if _, err := os.Stat(reached); err != nil {
				return
			}
			time.Sleep(pollInterval)
		}
	default:
		panic(fmt.Sprintf("crash point %s.%s: no action %q", where, what, action))
	}
}

// onStack reports whether a function whose name holds part has called Reach, directly or not, in this goroutine.
func onStack(part string) bool {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	for {
		frame, more := frames.Next()
		if strings.Contains(frame.Function, part) {
			return true
		}
		if !more {
			return false
		}
	}
}
