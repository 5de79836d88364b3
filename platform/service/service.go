// Package service is what the main of every service shares: subcommands, signals, exit codes, version.
package service

import (
	"context"
	"errors"
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

// Tool is a subcommand that takes arguments: what an operator does with a service's data. Run gets the arguments after the
// name, and returns ErrUsage if they are wrong.
type Tool struct {
	Name  string
	Usage string // its arguments, such as "-reason TEXT NUMBER"
	Run   func(ctx context.Context, args []string) error
}

// ErrUsage says that the arguments of a Tool are wrong.
var ErrUsage = errors.New("wrong usage")

// Main runs the subcommand named on the command line and ends the process: 0 on success, 1 on an error, 2 on wrong usage.
func Main(commands Commands, tools ...Tool) {
	os.Exit(run(commands, tools, os.Args))
}

func run(commands Commands, tools []Tool, args []string) int {
	if len(args) == 2 && args[1] == "version" {
		fmt.Println(filepath.Base(args[0]), Version())
		return 0
	}
	all := Commands{"health": ask("/healthz"), "ready": ask("/readyz"), "version": nil}
	maps.Copy(all, commands)
	usage := fmt.Sprintf("usage: %s %s\n", filepath.Base(args[0]), strings.Join(slices.Sorted(maps.Keys(all)), "|"))
	var command Command
	if len(args) == 2 {
		command = all[args[1]]
	}
	for _, tool := range tools {
		usage += fmt.Sprintf("usage: %s %s %s\n", filepath.Base(args[0]), tool.Name, tool.Usage)
		if len(args) >= 2 && args[1] == tool.Name {
			command = func(ctx context.Context) error { return tool.Run(ctx, args[2:]) }
		}
	}
	if command == nil {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := command(ctx)
	switch {
	case errors.Is(err, ErrUsage):
		fmt.Fprintf(os.Stderr, "%v\n%s", err, usage)
		return 2
	case err != nil:
		slog.Error("stopped", "error", err)
		return 1
	default:
		return 0
	}
}

// ask returns a command that requests path from the service on this machine, and fails unless the answer is 200. Containers
// use it as their health check, since they hold no other program.
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

// version is set by the linker where the build has no repository to read it from.
var version string

// Version returns what the linker set, or else the commit that the binary was built from, or else the module's version.
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
