package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// reopen lets the owner of a closed account in again: an operator's command. It works beside the running service.
func reopen(ctx context.Context, _ io.Writer, flags *flag.FlagSet, args []string) (err error) {
	r, err := reopening(flags, args)
	if err != nil {
		return err
	}
	db, err := accountService().Open(ctx, sqldb.OpenExisting)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	reopened, err := sqlstore.New(db).Reopen(ctx, r)
	switch {
	case errors.Is(err, customer.ErrUnknown):
		return fmt.Errorf("no account has the number %s", r.Number)
	case err != nil:
		return sqldb.Cause(err)
	}
	slog.InfoContext(ctx, "account reopened", "account_number", r.Number, "reason", r.Reason,
		"closed_at", reopened.ClosedAt, "balance", reopened.Balance)
	return nil
}

// reopening reads the arguments of reopen: one number, and the flag -reason before or after it.
func reopening(flags *flag.FlagSet, args []string) (r customer.Reopening, err error) {
	r.At = time.Now()
	flags.StringVar(&r.Reason, "reason", "", "why, for the record")
	if err := service.Parse(flags, args); err != nil {
		return r, err
	}
	if r.Number = flags.Arg(0); r.Number != "" {
		if err := service.Parse(flags, flags.Args()[1:]); err != nil {
			return r, err
		}
	}
	if r.Number == "" || flags.NArg() > 0 {
		return r, fmt.Errorf("%w: reopen wants one account number", service.ErrUsage)
	}
	if err := r.Validate(); err != nil {
		return r, fmt.Errorf("%w: %w: -reason", service.ErrUsage, err)
	}
	return r, nil
}
