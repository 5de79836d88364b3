// Package storetest is the conformance suite that every store of fee-svc passes.
package storetest

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/fee-svc/feeapi"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
)

// Store is the store under test, with both of its interfaces. The suite sets its clock. It also shows the events that it has
// written.
type Store interface {
	fee.Store
	fee.Queue
	SetClock(clock func() time.Time)
	Verify(ctx context.Context, out io.Writer, maxUnfinished time.Duration) error
	// Events returns the events in the outbox, in the order of their ids.
	Events(t *testing.T) []feeapi.Charged
}

// Run runs the suite. Each call of open returns an empty store.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"one fee per transfer":           oneFeePerTransfer,
		"concurrent adds":                concurrentAdds,
		"large batch":                    largeBatch,
		"get":                            get,
		"list pages":                     listPages,
		"claims are due and end":         claimsAreDueAndEnd,
		"claims take the longest due":    claimsTakeTheLongestDue,
		"concurrent claims":              concurrentClaims,
		"owed, oldest first":             owedOldestFirst,
		"releases":                       releases,
		"adds beside releases":           addsBesideReleases,
		"charged":                        charged,
		"refused":                        refused,
		"unknown":                        unknown,
		"waived":                         waived,
		"settlements stand one by one":   settlementsStandOneByOne,
		"concurrent settlements":         concurrentSettlements,
		"a settlement is all or nothing": allOrNothing,
		"backlog":                        backlog,
	} {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			set(store, start)
			test(t, store)
			set(store, start)
			if err := store.Verify(t.Context(), testWriter{t}, 10*time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

// start is what the clock of a store shows when a test begins, and when most fees are created. It is not the time of the
// process that runs the test. So the suite fails if a store takes any time from there.
var start = time.Date(2026, 11, 22, 12, 0, 0, 123456000, time.UTC)

// set lets the store's clock stand still at now.
func set(store Store, now time.Time) { store.SetClock(func() time.Time { return now }) }

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// pending returns n pending fees of account, all different, as they are if they are created at start.
func pending(account string, n int) []fee.Fee {
	fees := make([]fee.Fee, n)
	for i := range fees {
		fees[i] = fee.Fee{
			ID: newID(), TransferID: newID(), AccountNumber: account, Amount: 200, Status: fee.Pending, CreatedAt: start,
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		}
	}
	return fees
}

// add adds fees at start.
func add(t *testing.T, store Store, fees ...fee.Fee) []bool {
	t.Helper()
	set(store, start)
	added, err := store.Add(t.Context(), fees)
	if err != nil {
		t.Fatal(err)
	}
	return added
}

func load(t *testing.T, store Store, id string) fee.Fee {
	t.Helper()
	f, err := store.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// claim claims debtors at start+after, for a minute. It returns them without the end of the claim.
func claim(t *testing.T, store Store, after time.Duration, limit int) []fee.Debtor {
	t.Helper()
	now := start.Add(after)
	set(store, now)
	debtors, err := store.Claim(t.Context(), time.Minute, limit)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range debtors {
		if !d.Until.Equal(now.Add(time.Minute)) {
			t.Errorf("account %s is claimed at %s until %s", d.AccountNumber, now, d.Until)
		}
		debtors[i].Until = time.Time{}
	}
	return debtors
}

// owed returns all pending fees of the accounts.
func owed(t *testing.T, store Store, accountNumbers ...string) []fee.Claim {
	t.Helper()
	claims, err := store.Owed(t.Context(), accountNumbers, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// settle writes settlements at start+1s.
func settle(t *testing.T, store Store, settlements ...fee.Settlement) []fee.Settlement {
	t.Helper()
	set(store, start.Add(time.Second))
	effective, err := store.Settle(t.Context(), settlements, nil)
	if err != nil {
		t.Fatal(err)
	}
	return effective
}

// release ends, at start, the claims that began at start+after.
func release(t *testing.T, store Store, after time.Duration, releases ...fee.Release) {
	t.Helper()
	for i := range releases {
		releases[i].Until = start.Add(after + time.Minute)
	}
	set(store, start)
	if _, err := store.Settle(t.Context(), nil, releases); err != nil {
		t.Fatal(err)
	}
}

// asCharged and the functions below return settlements of an attempt.
func asCharged(id string, attempt int) fee.Settlement {
	return fee.Settlement{ID: id, Attempt: attempt, Status: fee.Charged, Next: attempt}
}

func asRefused(id string, attempt int) fee.Settlement {
	return fee.Settlement{ID: id, Attempt: attempt, Status: fee.Pending, Reason: fee.ReasonInsufficientBalance, Next: attempt + 1}
}

func asUnknown(id string, attempt, unknowns int) fee.Settlement {
	return fee.Settlement{ID: id, Attempt: attempt, Status: fee.Pending, Next: attempt, Unknowns: unknowns}
}

func asWaived(id string, attempt int) fee.Settlement {
	return fee.Settlement{ID: id, Attempt: attempt, Status: fee.Waived, Reason: fee.ReasonInactiveAccount, Next: attempt}
}
