package sqlite_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// both answers a debit and its credit: both are applied.
var both = accountapi.Outcome{Then: &accountapi.Outcome{}}

// BenchmarkCommit measures all commits of a transfer, in batches: it is created, and completed with its event.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{1, 16, 64, 256, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := sqlstore.New(sqldbtest.SQLite.Open(b, sqlstore.Migrations()))
			for b.Loop() {
				var changes transfer.Changes
				for range size {
					changes.Creates = append(changes.Creates, transfer.Transfer{
						ID: uuid.Must(uuid.NewV7()).String(), RequestID: uuid.NewString(), Fingerprint: "f",
						Origin: transfer.Party{AccountID: "a", AccountNumber: "11"}, Destination: "22", Amount: 100,
						State: transfer.Pending,
					})
				}
				commit(b, s, changes)
				var steps transfer.Changes
				for _, t := range changes.Creates {
					steps.Steps = append(steps.Steps, transfer.Step{From: t.State, After: transfer.Next(t, both)})
				}
				commit(b, s, steps)
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "transfers/s")
		})
	}
}

func commit(b *testing.B, s sqlstore.Store, changes transfer.Changes) {
	b.Helper()
	done, err := s.Commit(b.Context(), changes)
	if err != nil {
		b.Fatal(err)
	}
	for _, stepped := range done.Stepped {
		if stepped.IsZero() {
			b.Fatal("a step did not apply")
		}
	}
}
