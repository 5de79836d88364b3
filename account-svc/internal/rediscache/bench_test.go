//go:build backends

package rediscache_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/rediscache"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// BenchmarkBalance compares a hit and a miss of the cache with the database alone: one caller, and 16 per core.
func BenchmarkBalance(b *testing.B) {
	for _, engine := range sqldbtest.Engines {
		store := anybody{sqlstore.New(engine.Open(b, sqlstore.Migrations()))}
		if err := store.Register(b.Context(), customer.Registration{
			Customer: customer.Customer{AccountID: "id-11", Number: "11", Name: "Ana"}, CPFHash: "cpf", CreatedAt: time.Now(),
		}); err != nil {
			b.Fatal(err)
		}
		client, err := rediscache.OpenPatient(rediscache.Config{URL: os.Getenv("REDIS_URL"), KeyPrefix: "bench:" + rand.Text() + ":", BalanceTTL: 10 * time.Second})
		if err != nil {
			b.Fatal(err)
		}
		defer client.Close()
		client.Trust()
		cache := rediscache.NewBalances(store, client)
		var people atomic.Int64
		for name, balance := range map[string]func(ctx context.Context) (ledger.Account, error){
			"database": func(ctx context.Context) (ledger.Account, error) { return store.Balance(ctx, "x") },
			"hit":      func(ctx context.Context) (ledger.Account, error) { return cache.Balance(ctx, "x") },
			"miss": func(ctx context.Context) (ledger.Account, error) {
				return cache.Balance(ctx, fmt.Sprint(people.Add(1)))
			},
		} {
			b.Run(engine.Name+"/"+name+"/one", func(b *testing.B) {
				for b.Loop() {
					if _, err := balance(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(engine.Name+"/"+name+"/many", func(b *testing.B) {
				b.SetParallelism(16)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := balance(b.Context()); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}

// anybody is a store that returns account 11 for every id.
type anybody struct{ rediscache.Store }

func (s anybody) Balance(ctx context.Context, id string) (ledger.Account, error) {
	a, err := s.Store.Balance(ctx, "id-11")
	a.ID = id
	return a, err
}
