// Package service is what the main of every service shares: subcommands, signals, exit codes, version.
package service

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
)

// Command is a subcommand. Its context ends on SIGINT or SIGTERM; its error makes the process exit with 1.
type Command func(ctx context.Context) error

// Commands maps subcommand names to what they run. "version" exists in every service and needs no entry.
type Commands map[string]Command

// Main runs the subcommand named on the command line and ends the process: 0 on success, 1 on an error, 2 on wrong usage.
func Main(commands Commands) {
	os.Exit(run(commands, os.Args))
}

func run(commands Commands, args []string) int {
	if len(args) == 2 && args[1] == "version" {
		fmt.Println(filepath.Base(args[0]), Version())
		return 0
	}
	var command Command
	if len(args) == 2 {
		command = commands[args[1]]
	}
	if command == nil {
		names := []string{"version"}
		for name := range commands {
			names = append(names, name)
		}
		slices.Sort(names)
		fmt.Fprintf(os.Stderr, "usage: %s %s\n", filepath.Base(args[0]), strings.Join(names, "|"))
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx); err != nil {
		slog.Error("stopped", "error", err)
		return 1
	}
	return 0
}

// Version is the module version or the commit the binary was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return info.Main.Version
}
