package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tools are the programs that are not ours.
type tools struct {
	daprd, broker string
	missing       []string // make targets that build what is not there
}

// oldestRuntime is the oldest daprd that has what the run file and the components need, as far as anybody has tried.
var oldestRuntime = []int{1, 18}

var versionPattern = regexp.MustCompile(`(\d+)\.(\d+)\.\d+`)

// findTools takes what BANKMORE_DAPRD and BANKMORE_BROKER name, this machine's own Dapr runtime if it is recent enough,
// and else what make builds.
func findTools(ctx context.Context, embedded bool) (tools, error) {
	found := tools{daprd: os.Getenv("BANKMORE_DAPRD"), broker: os.Getenv("BANKMORE_BROKER")}
	if found.daprd == "" {
		found.daprd = ownRuntime(ctx)
	}
	if found.daprd != "" {
		fmt.Println("using the Dapr runtime", found.daprd)
	}
	own := func(name string) (string, error) {
		target := filepath.Join(toolDir, "bin", name)
		found.missing = append(found.missing, target)
		return filepath.Abs(target)
	}
	var err error
	if found.daprd == "" {
		if found.daprd, err = own("daprd"); err != nil {
			return found, err
		}
	}
	if embedded && found.broker == "" {
		found.broker, err = own("broker")
	}
	return found, err
}

// ownRuntime is the daprd that `dapr init` has put on this machine, or "" if there is none that is recent enough.
func ownRuntime(ctx context.Context) string {
	home := os.Getenv("DAPR_RUNTIME_PATH")
	if home == "" {
		home, _ = os.UserHomeDir()
	}
	program := filepath.Join(home, ".dapr", "bin", "daprd")
	if version := versionOf(ctx, program); slices.Compare(version, oldestRuntime) >= 0 {
		return program
	}
	return ""
}

// versionOf returns major and minor, or nil.
func versionOf(ctx context.Context, program string) []int {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	match := versionPattern.FindSubmatch(out)
	if err != nil || match == nil {
		return nil
	}
	major, _ := strconv.Atoi(string(match[1]))
	minor, _ := strconv.Atoi(string(match[2]))
	return []int{major, minor}
}

// build makes our programs and what is missing.
func build(ctx context.Context, missing []string) error {
	command := exec.CommandContext(ctx, "make", append([]string{"--no-print-directory", "-s", "build"}, missing...)...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	// Not a part of the make that started us, whose options and job server it would share.
	command.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS")
	})
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("building: %w", err)
	}
	return nil
}
