// Command ops is what an operator runs beside the services.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/bankmore/bankmore/platform/service"
)

// command runs with what follows its name on the command line.
type command struct {
	usage string
	run   func(ctx context.Context, out io.Writer, flags *flag.FlagSet, args []string) error
}

var commands = map[string]command{
	"verify":       {"verify [-at-rest] [-grace 10m] [-backup DIR [-scratch URL]]", verify},
	"backup":       {"backup DIR", makeBackup},
	"restore":      {"restore DIR [account-svc] [transfer-svc] [fee-svc]", restoreBackup},
	"dead-letters": {"dead-letters [replay [-again] all|PARTITION:OFFSET…]", deadLetters},
	"republish":    {"republish -since TIME", republishEvents},
	"missing":      {"missing", nameMissing},
	"skip-events":  {"skip-events", skipEvents},
	"repair":       {"repair [-since TIME] transfers", repairTransfers},

	"create-secrets": {"create-secrets TEMPLATE", createSecrets},
}

// errUsage says that the command line is wrong.
var errUsage = errors.New("wrong usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Stdout, os.Stderr, os.Args[1:]))
}

// run returns the exit code: 0 on success, 1 on an error or a violation, 2 on wrong usage.
func run(ctx context.Context, out, problems io.Writer, args []string) int {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	if name == "version" && len(args) == 1 {
		fmt.Fprintln(out, filepath.Base(os.Args[0]), service.Version())
		return 0
	}
	c, ok := commands[name]
	if !ok {
		fmt.Fprint(problems, usage())
		return 2
	}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(problems)
	err := c.run(ctx, out, flags, args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 2
	case errors.Is(err, errUsage):
		fmt.Fprintf(problems, "ops: %v\n%s", err, usage())
		return 2
	case err != nil:
		fmt.Fprintf(problems, "ops: %v\n", err)
		return 1
	}
	return 0
}

func usage() string {
	var b strings.Builder
	for _, name := range []string{"verify", "backup", "restore", "repair", "missing", "skip-events", "republish", "dead-letters", "create-secrets"} {
		fmt.Fprintf(&b, "usage: ops %s\n", commands[name].usage)
	}
	b.WriteString("usage: ops version\n")
	return b.String()
}

// parse reads the flags of a command.
func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil && !errors.Is(err, flag.ErrHelp) {
		return fmt.Errorf("%w: %w", errUsage, err)
	} else if err != nil {
		return err
	}
	return nil
}
