// Package service is what the main of every service shares: subcommands, signals, exit codes, version.
package service

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Command is a subcommand. Its context ends on SIGINT or SIGTERM; its error makes the process exit with 1.
type Command func(ctx context.Context) error

// Commands maps subcommand names to what they run. "version", "health" and "ready" exist in every service and need no
// entry.
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
	all := Commands{"health": ask("/healthz"), "ready": ask("/readyz"), "version": nil}
	maps.Copy(all, commands)
	var command Command
	if len(args) == 2 {
		command = all[args[1]]
	}
	if command == nil {
		names := slices.Sorted(maps.Keys(all))
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

// ask asks the service on this machine for a path of the server's own, for containers, which have no other program.
func ask(path string) Command {
	return func(ctx context.Context) error {
		_, port, err := net.SplitHostPort(os.Getenv("LISTEN_ADDRESS"))
		if err != nil {
			return fmt.Errorf("LISTEN_ADDRESS: %w", err)
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		url := "http://" + net.JoinHostPort("127.0.0.1", port) + path
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil) //nolint:gosec // this machine, whatever the variable says
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req) //nolint:gosec // the same
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	}
}

// version is set by the linker where there is no repository to tell it.
var version string

// Version is what the linker was told, or the commit that the binary was built from, or the module's version.
func Version() string {
	if version != "" {
		return version
	}
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
