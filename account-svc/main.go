// Command account-svc keeps customers, logins and the ledger.
package main

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"os"

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
	service.Main(service.Commands{"serve": serve, "migrate": migrate, "verify": verify})
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
	if config.Database.MigrateOnStart {
		if err := db.Migrate(ctx, sqlstore.Migrations()); err != nil {
			return err
		}
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
	logins, err := httpapi.NewAttempts(config.Login, counter)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, logins.Close(context.WithoutCancel(ctx))) }()
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
		Logins:   logins,
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

// share has replicas share balances and login attempts through Redis, if there is one.
func share(config Config, store rediscache.Store) (rediscache.Store, httpapi.Counter, func() error, error) {
	if config.Redis.URL == "" {
		return store, nil, func() error { return nil }, nil
	}
	client, err := rediscache.Open(config.Redis)
	if err != nil {
		return nil, nil, nil, err
	}
	counter := rediscache.NewAttempts(client, config.Login.PerMinute, config.CPF.Hash[:])
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
