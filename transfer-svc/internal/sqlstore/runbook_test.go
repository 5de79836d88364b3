//go:build backends

package sqlstore_test

import (
	"testing"
	"time"

	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// The database's clock has gone back by an hour. The runbook's statements end leases and claims from before, and none from
// after.
func TestRunbookEndsLeasesOfTheFuture(t *testing.T) {
	s := open(t, sqldbtest.Postgres)
	hour := func(ahead time.Duration) { s.db.SetClock(func() time.Time { return time.Now().Add(ahead) }) }
	lease := func(requestID string) {
		t.Helper()
		tr := transfer.Transfer{
			ID: requestID, RequestID: requestID, Fingerprint: "f", Origin: transfer.Party{AccountID: "a", AccountNumber: "11"},
			Destination: "22", Amount: 100, State: transfer.Pending, Lease: transfer.MaxDeadline + transfer.LeaseMargin,
		}
		if _, err := s.Commit(t.Context(), transfer.Changes{Creates: []transfer.Transfer{tr}}); err != nil {
			t.Fatal(err)
		}
		err := s.exec(t.Context(), "INSERT INTO outbox (id, topic, partition_key, payload, created_at, claimed_until) VALUES ('"+requestID+"', 'topic', 'key', '{}', 0, "+s.db.Now()+" + 15000000)")
		if err != nil {
			t.Fatal(err)
		}
	}
	hour(time.Hour)
	lease("before")
	hour(0)
	lease("after")
	for _, table := range []string{"transfers", "outbox"} {
		statement := sqldbtest.Documented(t, "../../../docs/runbook.md", "UPDATE "+table+" ")
		if n, err := s.db.Exec(t.Context(), statement); err != nil || n != 1 {
			t.Errorf("%s\nchanges %d rows, %v", statement, n, err)
		}
	}
	if got, err := s.Claim(t.Context(), time.Minute, 10); err != nil || len(got) != 1 || got[0].ID != "before" {
		t.Errorf("claimed %+v, %v; want the transfer from before", got, err)
	}
}
