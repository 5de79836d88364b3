package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore"
)

// republish publishes the events of completed transfers again: an operator's command, for a fee-svc that has lost fees. It
// works whether the service runs or not.
func republish(ctx context.Context, out io.Writer, flags *flag.FlagSet, args []string) (err error) {
	since, err := republishingSince(flags, args)
	if err != nil {
		return err
	}
	looking, err := transferService().Open(ctx, sqldb.OpenReadOnly) // first, since it creates no database where there is none
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, looking.Close()) }()
	db, err := transferService().Open(ctx, sqldb.Open)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	n, err := sqlstore.New(db).Republish(ctx, looking, since)
	fmt.Fprintf(out, "%d events wait in transfer-svc's outbox again\n", n)
	return err
}

// republishingSince reads the arguments of republish: the flag -since and nothing else.
func republishingSince(flags *flag.FlagSet, args []string) (since time.Time, err error) {
	text := flags.String("since", "", "when the oldest of these transfers was completed")
	if err := service.Parse(flags, args); err != nil {
		return since, err
	}
	since, err = time.Parse(time.RFC3339, *text)
	if err != nil || flags.NArg() > 0 {
		return since, fmt.Errorf("%w: republish wants -since and a time as in RFC 3339, such as 2026-01-31T12:00:00Z", service.ErrUsage)
	}
	return since, nil
}
