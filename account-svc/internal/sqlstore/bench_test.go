package sqlstore_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// sender has a ledger decide the debits and the credits of transfers.
type sender func(b *testing.B, book ledger.Ledger, debits, credits []ledger.Command)

// BenchmarkTransfers measures both legs of transfers, each between two accounts of its own: in pairs, as single commands of one
// batch, and with a batch for the debits before that for the credits.
func BenchmarkTransfers(b *testing.B) {
	ways := map[string]sender{
		"pairs": func(b *testing.B, book ledger.Ledger, debits, credits []ledger.Command) {
			for i := range debits {
				debits[i].Then = &credits[i]
			}
			applyAll(b, book, debits)
		},
		"one batch": func(b *testing.B, book ledger.Ledger, debits, credits []ledger.Command) {
			applyAll(b, book, slices.Concat(debits, credits))
		},
		"two batches": func(b *testing.B, book ledger.Ledger, debits, credits []ledger.Command) {
			applyAll(b, book, debits)
			applyAll(b, book, credits)
		},
	}
	for _, engine := range sqldbtest.Engines {
		for _, size := range []int{1, 16, 64, 256} {
			for _, name := range slices.Sorted(maps.Keys(ways)) {
				b.Run(fmt.Sprint(engine.Name, "/", size, "/", name), func(b *testing.B) { transfers(b, engine, size, ways[name]) })
			}
		}
	}
}

func transfers(b *testing.B, engine sqldbtest.Engine, size int, send sender) {
	b.Helper()
	book := open(b, engine, 2*size)
	deposits := make([]ledger.Command, size)
	for i := range deposits {
		deposits[i] = ledger.Command{
			RequestKey: fmt.Sprint(i), Fingerprint: "f", AccountNumber: fmt.Sprint(2 * i), Type: ledger.Credit, Kind: ledger.Deposit, Amount: 1e9,
		}
	}
	applyAll(b, book, deposits)
	for b.Loop() {
		debits, credits := make([]ledger.Command, size), make([]ledger.Command, size)
		for i := range debits {
			id, from, to := uuid.NewString(), fmt.Sprint(2*i), fmt.Sprint(2*i+1)
			debits[i] = ledger.Command{
				RequestKey: id + ":debit", Fingerprint: "f", AccountNumber: from, Counterparty: to,
				Type: ledger.Debit, Kind: ledger.Transfer, Amount: 1, TransferID: id,
			}
			credits[i] = debits[i]
			credits[i].RequestKey, credits[i].Type, credits[i].AccountNumber, credits[i].Counterparty = id+":credit", ledger.Credit, to, from
		}
		send(b, book, debits, credits)
	}
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "transfers/s")
}

// open returns an empty ledger with n accounts, whose numbers are 0, 1, ….
func open(b *testing.B, engine sqldbtest.Engine, n int) ledger.Ledger {
	b.Helper()
	store := sqlstore.New(engine.Open(b, sqlstore.Migrations()))
	for i := range n {
		number := fmt.Sprint(i)
		err := store.Register(b.Context(), customer.Registration{
			Customer: customer.Customer{AccountID: "id-" + number, Number: number, Name: "Ana"}, CPFHash: number, CreatedAt: time.Now(),
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return ledger.New(store)
}

// applyAll applies commands, none of which may be refused.
func applyAll(b *testing.B, book ledger.Ledger, commands []ledger.Command) {
	b.Helper()
	results, err := book.Apply(b.Context(), commands)
	if err != nil {
		b.Fatal(err)
	}
	for i, r := range results {
		then := r.Then
		if r.Then = nil; r != (ledger.Result{}) || (then == nil) != (commands[i].Then == nil) || then != nil && *then != (ledger.Result{}) {
			b.Fatalf("%+v, %+v", r, then)
		}
	}
}
