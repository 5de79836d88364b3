package fee_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/accountapi/accounttest"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
)

// crashing is a queue whose collector dies at one point. From then on the collector gets no answer, even if the database has
// committed.
type crashing struct {
	fee.Queue
	at string
}

var errCrash = errors.New("crash")

func (c *crashing) Claim(ctx context.Context, lease time.Duration, limit int) ([]fee.Debtor, error) {
	if c.at == "before the claim" {
		return nil, errCrash
	}
	debtors, err := c.Queue.Claim(ctx, lease, limit)
	if c.at == "after the claim" {
		return nil, errCrash
	}
	return debtors, err
}

func (c *crashing) Settle(ctx context.Context, settlements []fee.Settlement, releases []fee.Release) ([]fee.Settlement, error) {
	if c.at == "before settling" {
		return nil, errCrash
	}
	effective, err := c.Queue.Settle(ctx, settlements, releases)
	if c.at == "after settling" {
		return nil, errCrash
	}
	return effective, err
}

var crashPoints = []string{"before the claim", "after the claim", "before settling", "after settling"}

func TestCrashBetweenAnyTwoStepsDebitsOnce(t *testing.T) {
	for _, at := range crashPoints {
		for _, way := range []accounttest.Fault{accounttest.None, accounttest.LostRequest, accounttest.LostAnswer, accounttest.Late} {
			t.Run(at+", "+string(way), func(t *testing.T) {
				t.Parallel()
				b := newBank(t, map[string]money.Cents{rich: 100000, poor: 100})
				ids, poorIDs := b.record(rich, 4), b.record(poor, 2)
				for range 3 { // the next one dies at the same point
					b.ledger.OnMove(func(accountapi.Movement) accounttest.Fault { return way })
					if _, err := b.collector(&crashing{b.store, at}).Round(t.Context()); !errors.Is(err, errCrash) && at != "after settling" {
						t.Fatalf("no crash: %v", err)
					}
					b.clock.advance(lease + time.Second)
				}
				b.drain()
				b.ledger.Deliver()
				b.drain()
				b.expect(rich, ids, fee.Charged)
				b.expect(poor, poorIDs, fee.Pending)
				b.ledger.deposit(poor, 1000)
				for range 8 {
					b.clock.advance(time.Hour)
					b.drain()
				}
				b.expect(poor, poorIDs, fee.Charged)
				b.check(rich, poor)
			})
		}
	}
}

// After the ledger has debited, the database is really closed, and the service ends.
func TestDatabaseGoneBetweenChargeAndSettle(t *testing.T) {
	b := newBank(t, map[string]money.Cents{rich: 100000})
	ids := b.record(rich, 10)
	var once sync.Once
	b.ledger.OnMove(func(accountapi.Movement) accounttest.Fault {
		once.Do(func() { _ = b.db.Close() })
		return accounttest.None
	})
	if _, err := b.collector(b.store).Round(t.Context()); err == nil {
		t.Fatal("settled in a database that is closed")
	}
	b.open()
	b.expect(rich, ids, fee.Pending)
	b.drain()
	b.expect(rich, ids, fee.Charged)
	b.check(rich)
}

// If the database answers a claim only after the lease has ended, another collector may have claimed the debtors. So the
// collector sends nothing.
func TestSlowClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t, map[string]money.Cents{rich: 100000})
		ids := b.record(rich, 2)
		if _, err := b.collector(slowClaim{b.store}).Round(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that nothing is known", err)
		}
		if got := len(b.ledger.Decisions()); got != 0 {
			t.Errorf("%d debits sent without a lease", got)
		}
		b.drain()
		b.expect(rich, ids, fee.Charged)
		b.check(rich)
	})
}

// slowClaim is a queue that answers claims late, even after their context has ended.
type slowClaim struct{ fee.Queue }

func (s slowClaim) Claim(ctx context.Context, lease time.Duration, limit int) ([]fee.Debtor, error) {
	debtors, err := s.Queue.Claim(ctx, lease, limit)
	time.Sleep(lease)
	return debtors, err
}

// After a stop signal a round still finishes its portion.
func TestStopFinishesThePortion(t *testing.T) {
	b := newBank(t, map[string]money.Cents{rich: 100000})
	ids := b.record(rich, 10)
	ctx, stop := context.WithCancel(t.Context())
	b.ledger.OnMove(func(accountapi.Movement) accounttest.Fault {
		stop()
		return accounttest.None
	})
	if _, err := b.collector(b.store).Round(ctx); err != nil {
		t.Fatal(err)
	}
	b.expect(rich, ids, fee.Charged)
	b.check(rich)
}

// The database tells one of two replicas a time that is so far ahead that no lease of the other holds. That is the worst that a
// failover between servers with different clocks can do.
func TestTwoCollectorsDebitOnce(t *testing.T) {
	for name, skew := range map[string]time.Duration{"same clock": 0, "no lease holds": 3 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			b := newBank(t, map[string]money.Cents{rich: 1 << 40, poor: 50 * 200})
			ids, poorIDs := b.record(rich, 150), b.record(poor, 100)
			b.ledger.OnMove(func(accountapi.Movement) accounttest.Fault {
				time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
				return []accounttest.Fault{accounttest.None, accounttest.LostAnswer}[rand.IntN(2)]
			})
			other := openDB(t, b.path, func() time.Time { return b.clock.Now().Add(skew) })
			defer other.Close()
			var replicas sync.WaitGroup
			for _, store := range []sqlstore.Store{b.store, sqlstore.New(other)} {
				collector := b.collector(store)
				replicas.Go(func() {
					for range 12 {
						// An error of a busy database is one more fault that must do no harm.
						_, err := collector.Round(t.Context())
						if err != nil && !errors.Is(err, accounttest.ErrUnknown) && fault.From(err).Kind != fault.Unavailable {
							t.Error(err)
						}
						b.clock.advance(time.Second)
					}
				})
			}
			replicas.Wait()
			b.clock.advance(2 * skew)
			b.drain()
			b.expect(rich, ids, fee.Charged)
			charged := 0
			for _, f := range b.fees(poor) {
				if f.Status == fee.Charged {
					charged++
				}
			}
			if charged != len(poorIDs)/2 || b.ledger.Balance(poor) != 0 {
				t.Errorf("%d of %d fees charged with balance for half, %s left", charged, len(poorIDs), b.ledger.Balance(poor))
			}
			b.check(rich, poor)
		})
	}
}
