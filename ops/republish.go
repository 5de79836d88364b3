package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/bankmore/bankmore/ops/internal/republish"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// republishEvents makes transfer-svc publish the events of completed transfers again.
func republishEvents(ctx context.Context, out io.Writer, flags *flag.FlagSet, args []string) (err error) {
	since := flags.String("since", "", "a time as in RFC 3339: 2026-01-31T12:00:00Z")
	if err := parse(flags, args); err != nil {
		return err
	}
	from, err := time.Parse(time.RFC3339, *since)
	if err != nil || flags.NArg() > 0 {
		return fmt.Errorf("%w: -since wants a time as in RFC 3339, such as 2026-01-31T12:00:00Z", errUsage)
	}
	urls, err := databaseURLs("transfer")
	if err != nil {
		return err
	}
	looking, err := sqldb.OpenReadOnly(ctx, urls[0]) // first, since it does not create a database that does not exist
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, looking.Close()) }()
	db, err := sqldb.Open(ctx, urls[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	n, err := republish.Since(ctx, looking, db, from)
	fmt.Fprintf(out, "%d events wait in transfer-svc's outbox again\n", n)
	return err
}
