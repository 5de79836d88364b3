package fee_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/worker"
)

// crashing is a queue whose collector dies at one point. From then on the collector gets no answer, even if the database has
// committed.
type crashing struct {
	fee.Queue
	at string
}

var errCrash = errors.New("crash")

func (c *crashing) Claim(ctx context.Context, now, until time.Time, limit int) ([]fee.Debtor, error) {
	if c.at == "before the claim" {
		return nil, errCrash
	}
	debtors, err := c.Queue.Claim(ctx, now, until, limit)
	if c.at == "after the claim" {
		return nil, errCrash
	}
	return debtors, err
}

func (c *crashing) Settle(ctx context.Context, now time.Time, settlements []fee.Settlement, releases []fee.Release) ([]fee.Settlement, error) {
	if c.at == "before settling" {
		return nil, errCrash
	}
	effective, err := c.Queue.Settle(ctx, now, settlements, releases)
	if c.at == "after settling" {
		return nil, errCrash
	}
	return effective, err
}

var crashPoints = []string{"before the claim", "after the claim", "before settling", "after settling"}

func TestCrashBetweenAnyTwoStepsDebitsOnce(t *testing.T) {
	for _, at := range crashPoints {
		for name, way := range map[string]delivery{"arrives": arrives, "lost request": lostRequest, "lost answer": lostAnswer, "late request": lateRequest} {
			t.Run(at+", "+name, func(t *testing.T) {
				t.Parallel()
				b := newBank(t, map[string]money.Cents{rich: 100000, poor: 100})
				ids, poorIDs := b.record(rich, 4), b.record(poor, 2)
				for range 3 { // the next one dies at the same point
					b.ledger.way = func(accountapi.Movement) delivery { return way }
					if _, err := b.collector(&crashing{b.store, at}).Round(t.Context()); !errors.Is(err, errCrash) && at != "after settling" {
						t.Fatalf("no crash: %v", err)
					}
					b.clock.advance(lease + time.Second)
				}
				b.drain()
				b.ledger.deliverLate()
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
	b.ledger.way = func(accountapi.Movement) delivery {
		once.Do(func() { _ = b.db.Close() })
		return arrives
	}
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
		if got := len(b.ledger.decided); got != 0 {
			t.Errorf("%d debits sent without a lease", got)
		}
		b.drain()
		b.expect(rich, ids, fee.Charged)
		b.check(rich)
	})
}

// slowClaim is a queue that answers claims late, even after their context has ended.
type slowClaim struct{ fee.Queue }

func (s slowClaim) Claim(ctx context.Context, now, until time.Time, limit int) ([]fee.Debtor, error) {
	debtors, err := s.Queue.Claim(ctx, now, until, limit)
	time.Sleep(until.Sub(now))
	return debtors, err
}

// After a stop signal a round still finishes its portion.
func TestStopFinishesThePortion(t *testing.T) {
	b := newBank(t, map[string]money.Cents{rich: 100000})
	ids := b.record(rich, 10)
	ctx, stop := context.WithCancel(t.Context())
	b.ledger.way = func(accountapi.Movement) delivery {
		stop()
		return arrives
	}
	if _, err := b.collector(b.store).Round(ctx); err != nil {
		t.Fatal(err)
	}
	b.expect(rich, ids, fee.Charged)
	b.check(rich)
}

// The clock of one of two replicas is so far ahead that it respects no lease of the other. That is the worst case.
func TestTwoCollectorsDebitOnce(t *testing.T) {
	for name, skew := range map[string]time.Duration{"same clock": 0, "no lease holds": 3 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			b := newBank(t, map[string]money.Cents{rich: 1 << 40, poor: 50 * 200})
			ids, poorIDs := b.record(rich, 150), b.record(poor, 100)
			b.ledger.way = func(accountapi.Movement) delivery {
				time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
				return delivery(rand.IntN(2)) * lostAnswer
			}
			other := openDB(t, b.path)
			defer other.Close()
			var replicas sync.WaitGroup
			for _, replica := range []struct {
				store *sqlstore.Store
				skew  time.Duration
			}{{b.store, 0}, {sqlstore.New(other), skew}} {
				collector := fee.NewCollectorAt(replica.store, b.ledger, config, worker.NewBell(), func() time.Time {
					return b.clock.Now().Add(replica.skew)
				})
				replicas.Go(func() {
					for range 12 {
						for _, round := range []worker.Round{collector.Round, collector.Recall} {
							// An error of a busy database is one more fault that must do no harm.
							_, err := round(t.Context())
							if err != nil && !errors.Is(err, errUnknown) && fault.From(err).Kind != fault.Unavailable {
								t.Error(err)
							}
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
			if charged != len(poorIDs)/2 || b.ledger.balances[poor] != 0 {
				t.Errorf("%d of %d fees charged with balance for half, %s left", charged, len(poorIDs), b.ledger.balances[poor])
			}
			b.check(rich, poor)
		})
	}
}

// Random schedules mix lost, late and refused commands, crashes, deposits and passing time.
func TestRandomSchedulesDebitOnce(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 0))
			var mu sync.Mutex // the ledger's fault function runs concurrently
			b := newBank(t, map[string]money.Cents{rich: 100000, poor: 150})
			for range 25 {
				b.ledger.way = func(accountapi.Movement) delivery {
					mu.Lock()
					defer mu.Unlock()
					return delivery(random.IntN(int(rejected) + 1))
				}
				queue := fee.Queue(b.store)
				switch random.IntN(6) {
				case 0:
					b.record(rich, 1+random.IntN(3))
				case 1:
					b.record(poor, 1+random.IntN(3))
				case 2:
					b.ledger.deposit(poor, money.Cents(random.IntN(400)))
				case 3:
					b.ledger.deliverLate()
				default:
					queue = &crashing{b.store, crashPoints[random.IntN(len(crashPoints))]}
				}
				_, err := b.collector(queue).Round(t.Context())
				if err != nil && !errors.Is(err, errUnknown) && !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
				b.clock.advance(time.Duration(random.IntN(60)) * time.Second)
			}
			b.ledger.deposit(poor, 100000)
			b.ledger.deliverLate()
			for range 12 {
				b.clock.advance(time.Hour)
				b.drain()
			}
			for _, account := range []string{rich, poor} {
				for _, f := range b.fees(account) {
					if f.Status != fee.Charged {
						t.Errorf("in the end %+v", f)
					}
				}
			}
			b.check(rich, poor)
		})
	}
}
