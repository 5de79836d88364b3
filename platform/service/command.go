package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

// Command is a subcommand of a program.
type Command struct {
	Name  string
	Usage string // its arguments, such as "-reason TEXT NUMBER"; "" for a command that takes none
	// Run gets what follows the name on the command line; Parse reads its flags. It writes what was asked for to out. Its
	// context ends at SIGINT or SIGTERM. Its error is ErrUsage if the arguments are wrong.
	Run func(ctx context.Context, out io.Writer, flags *flag.FlagSet, args []string) error
}

// ErrUsage says that the command line is wrong.
var ErrUsage = errors.New("wrong usage")

// Run runs the command that args names first, and returns its error. If the command line is wrong, Run says so on problems
// and returns ErrUsage. Each program also has the command "version".
func Run(ctx context.Context, program string, commands []Command, out, problems io.Writer, args []string) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	commands = append(commands[:len(commands):len(commands)], Command{Name: "version", Run: printVersion(program)})
	err := run(ctx, commands, out, problems, args)
	switch {
	case errors.Is(err, flag.ErrHelp): // the flags have explained themselves
		err = ErrUsage
	case errors.Is(err, ErrUsage):
		fmt.Fprintf(problems, "%s: %v\n", program, err)
	default:
		return err
	}
	for _, c := range commands {
		fmt.Fprintf(problems, "usage: %s\n", strings.TrimSpace(program+" "+c.Name+" "+c.Usage))
	}
	return err
}

func run(ctx context.Context, commands []Command, out, problems io.Writer, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: no command", ErrUsage)
	}
	for _, c := range commands {
		switch {
		case c.Name != args[0]:
			continue
		case c.Usage == "" && len(args) > 1:
			return fmt.Errorf("%w: %s takes no arguments", ErrUsage, c.Name)
		}
		flags := flag.NewFlagSet(c.Name, flag.ContinueOnError)
		flags.SetOutput(problems)
		return c.Run(ctx, out, flags, args[1:])
	}
	return fmt.Errorf("%w: no command %q", ErrUsage, args[0])
}

// Parse reads the flags of a command. Its error is ErrUsage.
func Parse(flags *flag.FlagSet, args []string) error {
	err := flags.Parse(args)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	return err
}

// ExitCode returns a program's exit code for the error of Run: 0 on success, 1 on an error, 2 on wrong usage.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrUsage):
		return 2
	default:
		return 1
	}
}

// ask requests path from the service on this machine, and fails unless the answer is 200. Containers
// use it as their health check, since they hold no other program.
func ask(path string) func(context.Context, io.Writer) error {
	return func(ctx context.Context, _ io.Writer) error {
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

func printVersion(program string) func(context.Context, io.Writer, *flag.FlagSet, []string) error {
	return func(_ context.Context, out io.Writer, _ *flag.FlagSet, _ []string) error {
		_, err := fmt.Fprintln(out, program, Version())
		return err
	}
}
