// Command account-svc keeps customers, logins and the ledger.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/internal/account"
	"github.com/bankmore/bankmore/account-svc/internal/httpapi"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/rediscache"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/idempotency"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/telemetry"
	"github.com/bankmore/bankmore/platform/web"
)

//go:embed openapi.yaml
var openAPI []byte

func main() {
	service.Main(service.Commands{"serve": serve, "migrate": migrate, "verify": verify},
		service.Tool{Name: "reopen", Usage: "-reason TEXT NUMBER", Run: reopen})
}

// open sets up the logs and opens the database: what every subcommand needs.
func open(ctx context.Context, config StorageConfig, opener sqldb.Opener) (*sqldb.DB, error) {
	telemetry.Setup(os.Stderr, accountapi.AppID, config.Telemetry.LogLevel)
	return opener(ctx, config.Database.URL)
}

func serve(ctx context.Context) (err error) {
	config, err := loadConfig[Config]()
	if err != nil {
		return err
	}
	db, err := open(ctx, config.StorageConfig, sqldb.Open)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Prepare(ctx, config.Database, sqlstore.Migrations()); err != nil {
		return err
	}
	if config.AppAPIToken == "" {
		slog.WarnContext(ctx, "APP_API_TOKEN is not set: internal routes accept every local caller")
	}
	dapr, err := sidecar.New(config.Sidecar)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dapr.Close()) }()

	store, counter, closeRedis, err := share(config, sqlstore.New(db))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeRedis()) }()
	accounts, err := account.New(store, config.CPF)
	if err != nil {
		return err
	}
	memoryKeys, err := config.Auth.Keys.Derive("idempotency memory")
	if err != nil {
		return err
	}
	memory := idempotency.New(dapr.StateStore("statestore"), config.Idempotency, memoryKeys)
	defer memory.Close()
	book := ledger.New(store)
	defer book.Close()
	router := httpapi.New(httpapi.Deps{
		Accounts: accounts,
		Ledger:   book,
		Memory:   memory,
		Tokens:   auth.New(config.Auth),
		AppToken: config.AppAPIToken,
		Limits:   httpapi.NewLimits(config.Limits, counter),
		Zone:     config.Period.Zone,
		OpenAPI:  openAPI,
	})
	server, err := web.NewServer(ctx, config.Server, router,
		web.Check{Name: "database", Ready: db.Ready}, web.Check{Name: "sidecar", Ready: dapr.Ready})
	if err != nil {
		return err
	}
	return server.Serve(ctx)
}

// share has replicas share balances, and counts of attempts, through Redis, if there is one.
func share(config Config, store rediscache.Store) (rediscache.Store, httpapi.Counter, func() error, error) {
	if config.Redis.URL == "" {
		return store, nil, func() error { return nil }, nil
	}
	client, err := rediscache.Open(config.Redis)
	if err != nil {
		return nil, nil, nil, err
	}
	counter := rediscache.NewCounter(client, config.CPF.Hash[:])
	return rediscache.NewBalances(store, client), counter, client.Close, nil
}

func migrate(ctx context.Context) error {
	config, err := loadConfig[StorageConfig]()
	if err != nil {
		return err
	}
	db, err := open(ctx, config, sqldb.Open)
	if err != nil {
		return err
	}
	return errors.Join(db.Migrate(ctx, sqlstore.Migrations()), db.Close())
}

func verify(ctx context.Context) error {
	config, err := loadConfig[StorageConfig]()
	if err != nil {
		return err
	}
	db, err := open(ctx, config, sqldb.OpenReadOnly)
	if err != nil {
		return err
	}
	return errors.Join(sqlstore.New(db).Verify(ctx, os.Stdout), db.Close())
}

// reopen lets the owner of a closed account in again: an operator's command. It works beside the running service.
func reopen(ctx context.Context, args []string) (err error) {
	r, err := reopening(args)
	if err != nil {
		return err
	}
	config, err := loadConfig[StorageConfig]()
	if err != nil {
		return err
	}
	existing, err := open(ctx, config, sqldb.OpenReadOnly) // creates no database where there is none
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, existing.Close()) }()
	db, err := open(ctx, config, sqldb.Open)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	reopened, err := sqlstore.New(db).Reopen(ctx, r)
	switch {
	case errors.Is(err, account.ErrUnknown):
		return fmt.Errorf("no account has the number %s", r.Number)
	case err != nil:
		return err
	}
	slog.InfoContext(ctx, "account reopened", "account_number", r.Number, "reason", r.Reason,
		"closed_at", reopened.ClosedAt, "balance", reopened.Balance)
	return nil
}

// reopening reads the arguments of reopen: one number, and the flag -reason before or after it.
func reopening(args []string) (r account.Reopening, err error) {
	r.At = time.Now()
	flags := flag.NewFlagSet("reopen", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error says it
	flags.StringVar(&r.Reason, "reason", "", "why, for the record")
	if err := flags.Parse(args); err != nil {
		return r, fmt.Errorf("%w: %w", service.ErrUsage, err)
	}
	if r.Number = flags.Arg(0); r.Number != "" {
		if err := flags.Parse(flags.Args()[1:]); err != nil {
			return r, fmt.Errorf("%w: %w", service.ErrUsage, err)
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
