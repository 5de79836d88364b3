package sqlstore_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// BenchmarkCommit measures all commits of a transfer, in batches: it is created, debited, and completed with its event.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{1, 16, 64, 256, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := open(b, sqldbtest.SQLite)
			for b.Loop() {
				var changes transfer.Changes
				for range size {
					changes.Creates = append(changes.Creates, transfer.Transfer{
						ID: uuid.Must(uuid.NewV7()).String(), RequestID: uuid.NewString(), Fingerprint: "f",
						Origin: transfer.Party{AccountID: "a", AccountNumber: "11"}, Destination: "22", Amount: 100,
						State: transfer.Pending, CreatedAt: began, UpdatedAt: began, LeaseUntil: began,
					})
				}
				commit(b, s, changes)
				for _, from := range []transfer.State{transfer.Pending, transfer.Debited} {
					var steps transfer.Changes
					for i, t := range changes.Creates {
						after := transfer.Next(t, transfer.Answer{Verdict: transfer.Done}, began)
						steps.Steps = append(steps.Steps, transfer.Step{From: from, After: after})
						changes.Creates[i] = after
					}
					commit(b, s, steps)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "transfers/s")
		})
	}
}

func commit(b *testing.B, s store, changes transfer.Changes) {
	b.Helper()
	done, err := s.Commit(b.Context(), changes)
	if err != nil {
		b.Fatal(err)
	}
	for _, stepped := range done.Stepped {
		if !stepped {
			b.Fatal("a step did not apply")
		}
	}
}
