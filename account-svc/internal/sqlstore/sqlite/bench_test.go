package sqlite_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// BenchmarkApply measures batches of credits, each to another account, and each with another counterparty.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, 16, 64, 256, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			store := sqlstore.New(sqldbtest.SQLite.Open(b, sqlstore.Migrations()))
			for i := range size + 1 {
				number := fmt.Sprint(i)
				err := store.Register(b.Context(), customer.Registration{
					Customer: customer.Customer{AccountID: "id-" + number, Number: number, Name: "Ana"}, CPFHash: number, CreatedAt: time.Now(),
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			book := ledger.New(store)
			for b.Loop() {
				commands := make([]ledger.Command, size)
				for i := range commands {
					id := uuid.NewString()
					commands[i] = ledger.Command{
						RequestKey: id + ":credit", Fingerprint: "f", AccountNumber: fmt.Sprint(i), Counterparty: fmt.Sprint(i + 1),
						Type: ledger.Credit, Kind: ledger.Transfer, Amount: 1, TransferID: id,
					}
				}
				results, err := book.Apply(b.Context(), commands)
				if err != nil {
					b.Fatal(err)
				}
				for _, r := range results {
					if r.Refusal != nil || r.Err != nil {
						b.Fatalf("%+v", r)
					}
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "commands/s")
		})
	}
}
