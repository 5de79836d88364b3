package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/bankmore/bankmore/ops/internal/books"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// defaultGrace is what transfer-svc's verify has as well.
const defaultGrace = 10 * time.Minute

// verify checks across the databases of the three services.
func verify(ctx context.Context, out io.Writer, flags *flag.FlagSet, args []string) (err error) {
	atRest := flags.Bool("at-rest", false, "nothing may be in flight")
	grace := defaultGrace
	flags.Func("grace", "for what `duration` something may be in flight (default VERIFY_MAX_UNFINISHED, else 10m)", func(text string) (err error) {
		if grace, err = time.ParseDuration(text); err == nil && grace < 0 {
			return errors.New("must not be negative")
		}
		return err
	})
	if text := os.Getenv("VERIFY_MAX_UNFINISHED"); text != "" {
		if err := flags.Set("grace", text); err != nil {
			return fmt.Errorf("%w: VERIFY_MAX_UNFINISHED: %w", errUsage, err)
		}
	}
	if err := parse(flags, args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%w: %q", errUsage, flags.Arg(0))
	}
	debug.SetGCPercent(800) // of a heap of a few megabytes, through which millions of rows pass
	urls, err := databaseURLs("account", "transfer", "fee")
	if err != nil {
		return err
	}
	var dbs books.Databases
	for i, service := range []struct {
		name string
		db   **sqldb.DB
	}{{"account", &dbs.Account}, {"transfer", &dbs.Transfer}, {"fee", &dbs.Fee}} {
		db, openErr := sqldb.OpenReadOnly(ctx, urls[i])
		if openErr != nil {
			return fmt.Errorf("%s-svc: %w", service.name, openErr)
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		*service.db = db
	}
	return books.Check(ctx, out, dbs, books.Options{Grace: grace, AtRest: *atRest})
}

var databaseVariables = map[string]string{
	"account": "ACCOUNT_DATABASE_URL", "transfer": "TRANSFER_DATABASE_URL", "fee": "FEE_DATABASE_URL",
}

// databaseURLs is where the databases of services are: as the environment says, or, if it names no service's, where
// `make run` has them. Some from here and some from there would be two systems.
func databaseURLs(services ...string) (urls []string, err error) {
	local := true
	for _, variable := range databaseVariables {
		local = local && os.Getenv(variable) == ""
	}
	var missing []string
	for _, service := range services {
		url := os.Getenv(databaseVariables[service])
		if local {
			url = "sqlite:.data/" + service + ".db"
		} else if url == "" {
			missing = append(missing, databaseVariables[service])
		}
		urls = append(urls, url)
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%w: the environment names another database, but no %s", errUsage, strings.Join(missing, " and no "))
	}
	return urls, nil
}
