// Command transfer-svc moves money between accounts.
package main

import (
	_ "embed"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/idempotency"
	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/ratelimit"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/internal/crash"
	"github.com/bankmore/bankmore/transfer-svc/internal/groupcommit"
	"github.com/bankmore/bankmore/transfer-svc/internal/httpapi"
	"github.com/bankmore/bankmore/transfer-svc/internal/metered"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
	"github.com/bankmore/bankmore/transfer-svc/transferapi"
)

//go:embed openapi.yaml
var openAPI []byte

func main() { service.Main(transferService()) }

// transferService is what transfer-svc adds to the frame of every service.
func transferService() service.Service {
	var config Config
	return service.Service{
		Name:          transferapi.AppID,
		Config:        &config,
		LocalDefaults: localDefaults,
		Migrations:    sqlstore.Migrations(),
		Wire: func(db *sqldb.DB, dapr *sidecar.Client, limits *ratelimit.Customers) (service.Wiring, error) {
			return wire(config, db, dapr, limits)
		},
		Verifier: func(db *sqldb.DB) service.Verifier { return sqlstore.New(db) },
		Commands: []service.Command{{Name: "republish", Usage: "-since TIME", Run: republish}},
	}
}

func wire(config Config, db *sqldb.DB, dapr *sidecar.Client, limits *ratelimit.Customers) (service.Wiring, error) {
	memoryKeys, err := config.Auth.Keys.Derive("idempotency memory")
	if err != nil {
		return service.Wiring{}, err
	}
	memory := idempotency.New(dapr.StateStore("statestore"), config.Idempotency, memoryKeys)
	ledger := accountapi.NewClient(dapr)
	commits := groupcommit.New(sqlstore.New(db))
	store := metered.NewStore(commits)
	completed, overdue := service.NewBell(), service.NewBell()
	transfers := transfer.New(crash.Store(store), crash.Ledger(metered.NewLedger(ledger)), config.Saga,
		transfer.Bells{Completed: completed, Overdue: overdue})
	closed := accountapi.NewClosed(dapr)
	relay := outbox.NewRelay(db, dapr, "pubsub")
	return service.Wiring{
		Router: httpapi.New(httpapi.Deps{
			Transfers:  transfers,
			Memory:     memory,
			Tokens:     auth.New(config.Auth),
			Closed:     closed,
			RateLimits: limits,
			OpenAPI:    openAPI,
		}),
		Workers: []service.Worker{
			{Name: "transfer recovery", Interval: config.RecoveryInterval, Bell: overdue, Round: transfers.Recover},
			{Name: "transfer gauges", Interval: service.MeasureInterval, Round: store.Measure},
			{Name: "outbox relay", Interval: config.Outbox.Interval, Bell: completed, Gather: service.Gathering, Round: relay.Round},
			{Name: "outbox gauges", Interval: service.MeasureInterval, Round: relay.Measure},
			{Name: "closed accounts", Interval: accountapi.ClosedInterval, Round: closed.Refresh},
		},
		Close: func() error {
			commits.Close()
			ledger.Close()
			memory.Close()
			return nil
		},
	}, nil
}
