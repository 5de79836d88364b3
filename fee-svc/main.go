// Command fee-svc charges the fees of completed transfers.
package main

import (
	"context"
	_ "embed"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/fee-svc/feeapi"
	"github.com/bankmore/bankmore/fee-svc/internal/crash"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/groupcommit"
	"github.com/bankmore/bankmore/fee-svc/internal/httpapi"
	"github.com/bankmore/bankmore/fee-svc/internal/metered"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/fee-svc/internal/traced"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/outbox"
	"github.com/bankmore/bankmore/platform/ratelimit"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/sqldb"
)

//go:embed openapi.yaml
var openAPI []byte

func main() { service.Main(feeService()) }

// feeService is what fee-svc adds to the frame of every service.
func feeService() service.Service {
	var config Config
	return service.Service{
		Name:          feeapi.AppID,
		Config:        &config,
		LocalDefaults: localDefaults,
		Migrations:    sqlstore.Migrations(),
		Wire: func(db *sqldb.DB, dapr *sidecar.Client, limits *ratelimit.Customers) (service.Wiring, error) {
			return wire(config, db, dapr, limits), nil
		},
		Verifier: func(db *sqldb.DB) service.Verifier { return sqlstore.New(db) },
	}
}

const (
	// pubsub is the Dapr component that fee-svc publishes to.
	pubsub = "pubsub"
	// collectInterval is how often the collector looks, also if nobody rings: fees become due by time alone.
	collectInterval = 200 * time.Millisecond
)

func wire(config Config, db *sqldb.DB, dapr *sidecar.Client, limits *ratelimit.Customers) service.Wiring {
	due, charged := service.NewBell(), service.NewBell()
	store := groupcommit.New(sqlstore.New(db))
	fees := fee.New(crash.Store(store), config.Fees, due)
	ledger := accountapi.NewClient(dapr)
	queue := metered.NewQueue(store)
	collection := traced.NewCollection(queue, ledger)
	collector := fee.NewCollector(crash.Queue(collection), crash.Ledger(collection), config.Fees, charged)
	closed := accountapi.NewClosed(dapr)
	relay := outbox.NewRelay(db, dapr, pubsub)
	return service.Wiring{
		Router: httpapi.New(httpapi.Deps{
			Fees:       fees,
			Tokens:     auth.New(config.Auth),
			Closed:     closed,
			AppToken:   config.AppAPIToken,
			RateLimits: limits,
			OpenAPI:    openAPI,
			DeadLetter: func(ctx context.Context, message []byte) error {
				return dapr.PublishRaw(ctx, pubsub, feeapi.TopicDeadLetter, message)
			},
		}),
		Workers: []service.Worker{
			{Name: "fee collector", Interval: collectInterval, Bell: due, Gather: service.Gathering, Round: collector.Round},
			{Name: "fee gauges", Interval: service.MeasureInterval, Round: queue.Measure},
			{Name: "outbox relay", Interval: config.Outbox.Interval, Bell: charged, Gather: service.Gathering, Round: relay.Round},
			{Name: "outbox gauges", Interval: service.MeasureInterval, Round: relay.Measure},
			{Name: "closed accounts", Interval: accountapi.ClosedInterval, Round: closed.Refresh},
		},
		Close: func() error {
			ledger.Close()
			store.Close()
			return nil
		},
	}
}
