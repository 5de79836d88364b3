//go:build crashpoints

package crashpoint

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Enabled says whether points do anything in this build.
const Enabled = true

var folder = os.Getenv("CRASHPOINTS")

// pollInterval is how often a stalled goroutine checks whether it may go on.
const pollInterval = 2 * time.Millisecond

// Reach says that the caller has reached a point. If the point is armed, Reach returns late or never.
func Reach(where, what string) {
	if folder == "" {
		return
	}
	armed := filepath.Join(folder, where+"."+what)
	action, ok := order(armed)
	if !ok {
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

// Armed reports whether the caller would stop at a point if it reached the point now. A decorator asks, in order to choose a way
// that comes to the point.
func Armed(where, what string) bool {
	if folder == "" {
		return false
	}
	_, ok := order(filepath.Join(folder, where+"."+what))
	return ok
}

// order reads the file that arms a point. It returns false if there is none, or if it is not for the caller.
func order(armed string) (action string, ok bool) {
	text, err := os.ReadFile(armed)
	if err != nil {
		return "", false
	}
	action, function, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return action, function == "" || onStack(function)
}

// onStack reports whether a function whose name holds part has called Reach or Armed, directly or not, in this goroutine.
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
