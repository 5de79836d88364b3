// Command fee-svc charges the fees of completed transfers.
package main

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/httpapi"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/telemetry"
	"github.com/bankmore/bankmore/platform/web"
	"github.com/bankmore/bankmore/platform/worker"
)

//go:embed openapi.yaml
var openAPI []byte

func main() {
	service.Main(service.Commands{"serve": serve, "migrate": migrate, "verify": verify})
}

// open sets up the logs and opens the database: what every subcommand needs.
func open(ctx context.Context, config StorageConfig, opener sqldb.Opener) (*sqldb.DB, error) {
	telemetry.Setup(os.Stderr, "fee-svc", config.Telemetry.LogLevel)
	return opener(ctx, config.Database.URL)
}

// pubsub is the Dapr component that fee-svc publishes to.
const pubsub = "pubsub"

// How often the workers look, also when nobody rings.
const (
	collectInterval = 200 * time.Millisecond // fees become due by time alone
	publishInterval = time.Second
	measureInterval = 5 * time.Second
)

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
		slog.WarnContext(ctx, "APP_API_TOKEN is not set: event routes accept every local caller")
	}
	dapr, err := sidecar.New(config.Sidecar)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dapr.Close()) }()

	due, charged := worker.NewBell(), worker.NewBell()
	store := sqlstore.New(db)
	fees := fee.NewService(store, config.Fees, due)
	defer fees.Close()
	ledger := accountapi.NewClient(dapr)
	defer ledger.Close()
	collector := fee.NewCollector(store, ledger, config.Fees, charged)
	closed := accountapi.NewClosed(dapr)
	relay := outbox.NewRelay(db, dapr, pubsub)
	router := httpapi.New(httpapi.Deps{
		Fees:     fees,
		Tokens:   auth.New(config.Auth),
		Closed:   closed,
		AppToken: config.AppAPIToken,
		OpenAPI:  openAPI,
		DeadLetter: func(ctx context.Context, message []byte) error {
			return dapr.PublishRaw(ctx, pubsub, httpapi.DeadLetterTopic, message)
		},
	})
	server, err := web.NewServer(ctx, config.Server, router,
		web.Check{Name: "database", Ready: db.Ready}, web.Check{Name: "sidecar", Ready: dapr.Ready})
	if err != nil {
		return err
	}

	ctx, stop := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait() // each ends its round
	defer stop()
	workers.Go(func() { worker.Run(ctx, "fee collector", collectInterval, due, collector.Round) })
	workers.Go(func() { worker.Run(ctx, "closed accounts", accountapi.ClosedInterval, nil, closed.Refresh) })
	workers.Go(func() { worker.Run(ctx, "fee recall", fee.RecallInterval, nil, collector.Recall) })
	workers.Go(func() { worker.Run(ctx, "fee gauges", measureInterval, nil, collector.Measure) })
	workers.Go(func() { worker.Run(ctx, "outbox relay", publishInterval, charged, relay.Round) })
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

// clockTolerance is how far a replica's clock may be ahead of verify's, on top of what collectors allow for.
const clockTolerance = time.Hour

func verify(ctx context.Context) error {
	config, err := loadConfig[VerifyConfig]()
	if err != nil {
		return err
	}
	db, err := open(ctx, config.StorageConfig, sqldb.OpenReadOnly)
	if err != nil {
		return err
	}
	now := time.Now()
	unfinishedSince, latestDue := now.Add(-config.MaxUnfinished), config.Fees.LatestDue(now).Add(clockTolerance)
	return errors.Join(sqlstore.New(db).Verify(ctx, os.Stdout, unfinishedSince, latestDue), db.Close())
}
