package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/bankmore/bankmore/ops/internal/books"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// verify checks across the databases of the three services.
func verify(ctx context.Context, out io.Writer, flags *flag.FlagSet, args []string) (err error) {
	atRest := flags.Bool("at-rest", false, "nothing may be in flight")
	grace := flags.Duration("grace", 10*time.Minute, "how long something may be in flight")
	if err := parse(flags, args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%w: %q", errUsage, flags.Arg(0))
	}
	debug.SetGCPercent(800) // of a heap of a few megabytes, through which millions of rows pass
	var dbs books.Databases
	for _, service := range []struct {
		name string
		db   **sqldb.DB
	}{{"account", &dbs.Account}, {"transfer", &dbs.Transfer}, {"fee", &dbs.Fee}} {
		db, openErr := sqldb.OpenReadOnly(ctx, databaseURL(service.name))
		if openErr != nil {
			return fmt.Errorf("%s-svc: %w", service.name, openErr)
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		*service.db = db
	}
	return books.Check(ctx, out, dbs, books.Options{Grace: *grace, AtRest: *atRest})
}

// databaseURL is where a service's database is: as the environment says, or where `make run` has it.
func databaseURL(service string) string {
	variable := map[string]string{"account": "ACCOUNT_DATABASE_URL", "transfer": "TRANSFER_DATABASE_URL", "fee": "FEE_DATABASE_URL"}[service]
	if url := os.Getenv(variable); url != "" {
		return url
	}
	return "sqlite:.data/" + service + ".db"
}
