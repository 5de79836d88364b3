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
	"time"
)

// tools are the programs beside the services.
type tools struct {
	daprd, broker string   // paths
	parts         []string // to build: the services, Caddy, and the tools that this machine does not have
}

// oldestRuntime is the oldest version of daprd with which the run file and the components were tried.
var oldestRuntime = []int{1, 18}

var versionPattern = regexp.MustCompile(`(\d+)\.(\d+)\.\d+`)

// findTools finds daprd and the broker. It takes the program that BANKMORE_DAPRD or BANKMORE_BROKER names. Else it takes, for
// daprd, the runtime of `dapr init` if that is recent enough. Else it adds the tool to the parts to build.
func findTools(ctx context.Context, embedded bool) (tools, error) {
	found := tools{daprd: os.Getenv("BANKMORE_DAPRD"), broker: os.Getenv("BANKMORE_BROKER"), parts: []string{"services", "caddy"}}
	if found.daprd == "" {
		found.daprd = ownRuntime(ctx)
	}
	if found.daprd != "" {
		fmt.Println("using the Dapr runtime", found.daprd)
	}
	own := func(name string) (string, error) {
		found.parts = append(found.parts, name)
		return filepath.Abs(filepath.Join(toolDir, "bin", name))
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

// ownRuntime returns the daprd that `dapr init` has installed, or "" if there is none or it is older than oldestRuntime.
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

// versionOf returns the major and the minor version of program, or nil if it cannot find out.
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
