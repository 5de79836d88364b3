// Command ops is what an operator runs beside the services.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/bankmore/bankmore/platform/service"
)

var commands = []service.Command{
	{Name: "verify", Usage: "[-at-rest] [-grace 10m] [-backup DIR [-scratch URL]]", Run: verify},
	{Name: "backup", Usage: "DIR", Run: makeBackup},
	{Name: "restore", Usage: "DIR [account-svc] [transfer-svc] [fee-svc]", Run: restoreBackup},
	{Name: "repair", Usage: "[-since TIME] transfers", Run: repairTransfers},
	{Name: "missing", Run: nameMissing},
	{Name: "skip-events", Run: skipEvents},
	{Name: "dead-letters", Usage: "[replay [-again] all|PARTITION:OFFSET…]", Run: deadLetters},
	{Name: "create-secrets", Usage: "TEMPLATE", Run: createSecrets},
}

func main() { os.Exit(run(context.Background(), os.Stdout, os.Stderr, os.Args[1:])) }

// run returns the exit code: 0 on success, 1 on an error or a violation, 2 on wrong usage.
func run(ctx context.Context, out, problems io.Writer, args []string) int {
	err := service.Run(ctx, "ops", commands, out, problems, args)
	if err != nil && !errors.Is(err, service.ErrUsage) {
		fmt.Fprintf(problems, "ops: %v\n", err)
	}
	return service.ExitCode(err)
}
