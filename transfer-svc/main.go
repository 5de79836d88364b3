// Command transfer-svc moves money between accounts.
package main

import (
	"context"
	_ "embed"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/idempotency"
	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/telemetry"
	"github.com/bankmore/bankmore/platform/web"
	"github.com/bankmore/bankmore/platform/worker"
	"github.com/bankmore/bankmore/transfer-svc/internal/httpapi"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

//go:embed openapi.yaml
var openAPI []byte

func main() {
	service.Main(service.Commands{"serve": serve, "migrate": migrate, "verify": verify})
}

// open sets up the logs and opens the database: what every subcommand needs.
func open(ctx context.Context, config StorageConfig, opener sqldb.Opener) (*sqldb.DB, error) {
	telemetry.Setup(os.Stderr, "transfer-svc", config.Telemetry.LogLevel)
	return opener(ctx, config.Database.URL)
}

const (
	measureInterval = 5 * time.Second // between counts of the outbox and of what is unfinished
	recallInterval  = time.Minute
)

// serve runs the service until ctx ends. Then what it opened closes in reverse order: first the requests and rounds
// under way end, then what they used closes, the database last.
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
	dapr, err := sidecar.New(config.Sidecar)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dapr.Close()) }()

	memoryKeys, err := config.Auth.Keys.Derive("idempotency memory")
	if err != nil {
		return err
	}
	memory := idempotency.New(dapr.StateStore("statestore"), config.Idempotency, memoryKeys)
	defer memory.Close()
	ledger := accountapi.NewClient(dapr)
	defer ledger.Close()
	bells := transfer.Bells{Completed: worker.NewBell(), Overdue: worker.NewBell()}
	transfers := transfer.New(sqlstore.New(db), ledger, config.Saga, bells)
	defer transfers.Close()
	closed := accountapi.NewClosed(dapr)
	relay := outbox.NewRelay(db, dapr, "pubsub")

	router := httpapi.New(httpapi.Deps{
		Transfers: transfers,
		Memory:    memory,
		Tokens:    auth.New(config.Auth),
		Closed:    closed,
		OpenAPI:   openAPI,
	})
	server, err := web.NewServer(ctx, config.Server, router,
		web.Check{Name: "database", Ready: db.Ready}, web.Check{Name: "sidecar", Ready: dapr.Ready})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer stop()
	workers.Go(func() {
		worker.Run(ctx, "recovery", config.Workers.RecoveryInterval, bells.Overdue, transfers.Recover)
	})
	workers.Go(func() { worker.Run(ctx, "closed accounts", accountapi.ClosedInterval, nil, closed.Refresh) })
	workers.Go(func() { worker.Run(ctx, "recall", recallInterval, nil, transfers.Recall) })
	workers.Go(func() {
		worker.Run(ctx, "outbox", config.Workers.OutboxInterval, bells.Completed, relay.Round)
	})
	workers.Go(func() { worker.Run(ctx, "transfer gauges", measureInterval, nil, transfers.Measure) })
	workers.Go(func() { worker.Run(ctx, "outbox gauges", measureInterval, nil, relay.Measure) })
	return server.Serve(ctx)
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
	config, err := loadConfig[VerifyConfig]()
	if err != nil {
		return err
	}
	db, err := open(ctx, config.StorageConfig, sqldb.OpenReadOnly)
	if err != nil {
		return err
	}
	return errors.Join(sqlstore.New(db).Verify(ctx, os.Stdout, time.Now(), config.MaxUnfinished), db.Close())
}
