// Command account-svc keeps customers, logins and the ledger.
package main

import (
	_ "embed"
	"errors"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/internal/crash"
	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/groupcommit"
	"github.com/bankmore/bankmore/account-svc/internal/httpapi"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/metered"
	"github.com/bankmore/bankmore/account-svc/internal/ownercache"
	"github.com/bankmore/bankmore/account-svc/internal/rediscache"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/idempotency"
	"github.com/bankmore/bankmore/platform/ratelimit"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sidecar"
	"github.com/bankmore/bankmore/platform/sqldb"
)

//go:embed openapi.yaml
var openAPI []byte

func main() { service.Main(accountService()) }

// accountService is what account-svc adds to the frame of every service.
func accountService() service.Service {
	var config Config
	return service.Service{
		Name:          accountapi.AppID,
		Config:        &config,
		LocalDefaults: localDefaults,
		Migrations:    sqlstore.Migrations(),
		Wire: func(db *sqldb.DB, dapr *sidecar.Client, limits *ratelimit.Customers) (service.Wiring, error) {
			return wire(config, db, dapr, limits)
		},
		Verifier: func(db *sqldb.DB) service.Verifier { return sqlstore.New(db) },
		Commands: []service.Command{{Name: "reopen", Usage: "-reason TEXT NUMBER", Run: reopen}},
	}
}

func wire(config Config, db *sqldb.DB, dapr *sidecar.Client, limits *ratelimit.Customers) (service.Wiring, error) {
	memoryKeys, err := config.Auth.Keys.Derive("idempotency memory")
	if err != nil {
		return service.Wiring{}, err
	}
	store, counter, closeRedis, err := share(config, sqlstore.New(db))
	if err != nil {
		return service.Wiring{}, err
	}
	customers, err := customer.New(crash.Customers(store), metered.NewHasher(customer.Argon2id{}), config.CPF)
	if err != nil {
		return service.Wiring{}, errors.Join(err, closeRedis())
	}
	memory := idempotency.New(dapr.StateStore("statestore"), config.Idempotency, memoryKeys)
	book := groupcommit.New(metered.NewLedger(ledger.New(ownercache.New(store))))
	return service.Wiring{
		Router: httpapi.New(httpapi.Deps{
			Customers:  customers,
			Ledger:     crash.Ledger(book),
			Memory:     memory,
			Tokens:     auth.New(config.Auth),
			AppToken:   config.AppAPIToken,
			Limits:     httpapi.NewLimits(config.Limits, counter),
			Zone:       config.Statement.Zone,
			BankCode:   config.Statement.BankCode,
			RateLimits: limits,
			OpenAPI:    openAPI,
		}),
		Close: func() error {
			book.Close()
			memory.Close()
			return closeRedis()
		},
	}, nil
}

// share puts Redis, if there is one, between the replicas: they share balances and counts of attempts. closeRedis ends that.
func share(config Config, store rediscache.Store) (shared rediscache.Store, counter httpapi.Counter, closeRedis func() error, err error) {
	if config.Redis.URL == "" {
		return store, nil, func() error { return nil }, nil
	}
	client, err := rediscache.Open(config.Redis)
	if err != nil {
		return nil, nil, nil, err
	}
	return rediscache.NewBalances(store, client), rediscache.NewCounter(client, config.CPF.Hash[:]), client.Close, nil
}
