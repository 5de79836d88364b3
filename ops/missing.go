package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/bankmore/bankmore/fee-svc/feeapi"
	"github.com/bankmore/bankmore/ops/internal/broker"
	"github.com/bankmore/bankmore/ops/internal/missing"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/transferapi"
)

// nameMissing names the completed transfers whose events the topic has, and that transfer-svc does not have.
func nameMissing(ctx context.Context, out io.Writer, _ *flag.FlagSet, _ []string) (err error) {
	urls, err := databaseURLs("account", "transfer")
	if err != nil {
		return err
	}
	account, err := sqldb.OpenReadOnly(ctx, urls[0])
	if err != nil {
		return fmt.Errorf("account-svc: %w", err)
	}
	defer func() { err = errors.Join(err, account.Close()) }()
	transfer, err := sqldb.OpenReadOnly(ctx, urls[1])
	if err != nil {
		return fmt.Errorf("transfer-svc: %w", err)
	}
	defer func() { err = errors.Join(err, transfer.Close()) }()
	client, err := broker.Connect()
	if err != nil {
		return err
	}
	defer client.Close()
	return missing.Transfers(ctx, out, client, account, transfer)
}

// skipEvents makes fee-svc skip all events of completed transfers that the topic holds now.
func skipEvents(ctx context.Context, out io.Writer, _ *flag.FlagSet, _ []string) error {
	client, err := broker.Connect()
	if err != nil {
		return err
	}
	defer client.Close()
	n, err := broker.SkipToEnd(ctx, client, feeapi.AppID, transferapi.TopicCompleted)
	if errors.Is(err, broker.ErrInUse) {
		return fmt.Errorf("stop fee-svc and its sidecars first: %w", err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "fee-svc skips %d events\n", n)
	return nil
}
