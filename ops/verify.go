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
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// defaultGrace is the default of the services' own verify, too.
const defaultGrace = 10 * time.Minute

// verify checks the laws across the databases of the three services.
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
			return fmt.Errorf("%w: VERIFY_MAX_UNFINISHED: %w", service.ErrUsage, err)
		}
	}
	from := flags.String("backup", "", "check the backup in this `folder`, each service's part and across")
	scratch := flags.String("scratch", "", "where to restore a backup of PostgreSQL for that: a `URL` whose user may create databases")
	if err := service.Parse(flags, args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("%w: %q", service.ErrUsage, flags.Arg(0))
	case *scratch != "" && *from == "":
		return fmt.Errorf("%w: -scratch goes with -backup", service.ErrUsage)
	}
	debug.SetGCPercent(800) // collect garbage rarely: the heap has a few megabytes, but millions of rows pass through it
	options := books.Options{Grace: grace, AtRest: *atRest}
	if *from != "" {
		return verifyBackup(ctx, out, *from, *scratch, options)
	}
	urls, err := databaseURLs("account", "transfer", "fee")
	if err != nil {
		return err
	}
	return checkBooks(ctx, out, urls[0], urls[1], urls[2], options)
}

// checkBooks checks the laws across the databases at these URLs.
func checkBooks(ctx context.Context, out io.Writer, account, transfer, fee string, options books.Options) (err error) {
	var dbs books.Databases
	for _, service := range []struct {
		name, url string
		db        **sqldb.DB
	}{{"account", account, &dbs.Account}, {"transfer", transfer, &dbs.Transfer}, {"fee", fee, &dbs.Fee}} {
		db, openErr := sqldb.OpenReadOnly(ctx, service.url)
		if openErr != nil {
			return fmt.Errorf("%s-svc: %w", service.name, openErr)
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		*service.db = db
	}
	return books.Check(ctx, out, dbs, options)
}

var databaseVariables = map[string]string{
	"account": "ACCOUNT_DATABASE_URL", "transfer": "TRANSFER_DATABASE_URL", "fee": "FEE_DATABASE_URL",
}

// databaseURLs returns the URLs of the services' databases. If the environment names no database, they are those of `make run`.
// If it names some but not all that are asked for, databaseURLs returns an error: it must not mix two systems.
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
		return nil, fmt.Errorf("%w: the environment names another database, but no %s", service.ErrUsage, strings.Join(missing, " and no "))
	}
	return urls, nil
}
