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

// dapr says which Dapr is used. Empty paths stand for what we build.
type dapr struct {
	cli     string
	runtime string
}

// What the run file and the components need. Older runtimes may work too, but nobody has tried.
var (
	oldestCLI     = []int{1, 16}
	oldestRuntime = []int{1, 18}
)

var versionPattern = regexp.MustCompile(`(\d+)\.(\d+)\.\d+`)

// findDapr takes the machine's own Dapr as far as it is recent enough.
func findDapr(ctx context.Context) dapr {
	var found dapr
	cli, err := exec.LookPath("dapr")
	if err != nil {
		return found
	}
	if version := versionOf(ctx, cli); slices.Compare(version, oldestCLI) >= 0 {
		found.cli = cli
	}
	home := os.Getenv("DAPR_RUNTIME_PATH")
	if home == "" {
		home, _ = os.UserHomeDir()
	}
	runtime := filepath.Join(home, ".dapr", "bin", "daprd")
	if version := versionOf(ctx, runtime); slices.Compare(version, oldestRuntime) >= 0 {
		found.runtime = runtime
	}
	return found
}

// versionOf returns major and minor, or nil. (The CLI prints its own version first.)
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

// build makes what is missing, and says so.
func build(ctx context.Context, dapr dapr, embedded bool) error {
	targets := []string{"build"}
	if embedded {
		targets = append(targets, toolDir+"/bin/broker")
	}
	if dapr.cli == "" {
		targets = append(targets, toolDir+"/bin/dapr")
	} else {
		fmt.Println("using the Dapr CLI of this machine:", dapr.cli)
	}
	if dapr.runtime == "" {
		targets = append(targets, toolDir+"/bin/daprd")
	} else {
		fmt.Println("using the Dapr runtime of this machine:", dapr.runtime)
	}
	command := exec.CommandContext(ctx, "make", append([]string{"--no-print-directory", "-s"}, targets...)...)
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

// runtimePath returns a folder as the Dapr CLI expects it, with a daprd that listens on loopback only. The CLI has no
// option for that, and whoever reaches a sidecar's internal port is let into the app, app token and all.
func (d dapr) runtimePath() (string, error) {
	runtime := d.runtime
	if runtime == "" {
		runtime = filepath.Join(toolDir, "bin", "daprd")
	}
	runtime, err := filepath.Abs(runtime)
	if err != nil {
		return "", err
	}
	home, err := filepath.Abs(toolDir)
	if err != nil {
		return "", err
	}
	bin := filepath.Join(home, ".dapr", "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return "", err
	}
	script := "#!/bin/sh\nexec '" + strings.ReplaceAll(runtime, "'", `'\''`) +
		"' --dapr-internal-grpc-listen-address 127.0.0.1 --metrics-listen-address 127.0.0.1 \"$@\"\n"
	return home, os.WriteFile(filepath.Join(bin, "daprd"), []byte(script), 0o700) //nolint:gosec // a program
}
