// Command bankmore is BankMore for people at a terminal, and for their scripts. `bankmore help` says what it does.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/bankmore/bankmore/cli/internal/command"
	"github.com/bankmore/bankmore/cli/internal/session"
)

// version is set by the linker: -ldflags '-X main.version=1.0'.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // so that the second signal ends the program at once
	// A reader of our output that ends must not end us before we have said what became of a payment: writing fails instead.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(command.Run(ctx, command.Environment{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Getenv: os.Getenv, Keyring: session.System(os.Getenv), Version: version,
	}, os.Args[1:]))
}
