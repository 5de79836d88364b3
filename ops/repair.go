package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/bankmore/bankmore/ops/internal/repair"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// repairTransfers adds the transfers that the ledger knows and transfer-svc has lost.
func repairTransfers(ctx context.Context, out io.Writer, flags *flag.FlagSet, args []string) (err error) {
	var since time.Time
	flags.Func("since", "leave out what is older than this `time`, as in RFC 3339: 2026-01-31T12:00:00Z", func(text string) (err error) {
		since, err = time.Parse(time.RFC3339, text)
		return err
	})
	if err := service.Parse(flags, args); err != nil {
		return err
	}
	if flags.NArg() != 1 || flags.Arg(0) != "transfers" {
		return fmt.Errorf("%w: repair what? transfers", service.ErrUsage)
	}
	urls, err := databaseURLs("account", "transfer")
	if err != nil {
		return err
	}
	ledger, err := sqldb.OpenReadOnly(ctx, urls[0])
	if err != nil {
		return fmt.Errorf("account-svc: %w", err)
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	transfers, err := sqldb.OpenExisting(ctx, urls[1])
	if err != nil {
		return fmt.Errorf("transfer-svc: %w", err)
	}
	defer func() { err = errors.Join(err, transfers.Close()) }()
	n, err := repair.Transfers(ctx, out, ledger, transfers, since)
	fmt.Fprintf(out, "%d transfers restored from the ledger\n", n)
	return err
}
