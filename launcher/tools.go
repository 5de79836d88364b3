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

// tools are the programs that are not ours.
type tools struct {
	daprd, broker string
	parts         []string // to build: our programs, and what this machine has not
}

// oldestRuntime is the oldest daprd that has what the run file and the components need, as far as anybody has tried.
var oldestRuntime = []int{1, 18}

var versionPattern = regexp.MustCompile(`(\d+)\.(\d+)\.\d+`)

// findTools takes what BANKMORE_DAPRD and BANKMORE_BROKER name, this machine's own Dapr runtime if it is recent enough,
// and else what package build builds.
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
