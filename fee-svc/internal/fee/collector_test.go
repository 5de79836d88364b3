package fee_test

import (
	"bytes"
	"errors"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/worker"
)

const (
	rich = "100"
	poor = "200"
)

// The collector's lease, which a crash leaves behind.
const lease = 15 * time.Second

var config = fee.Config{Amount: 200, RetryMin: 5 * time.Second, RetryMax: time.Hour}

var _ fee.Ledger = (*accountapi.Client)(nil)

// bank is a fee database with a ledger beside it.
type bank struct {
	t      *testing.T
	path   string
	db     *sqldb.DB
	store  *sqlstore.Store
	ledger *ledger
	clock  *clock
}

func newBank(t *testing.T, balances map[string]money.Cents) *bank {
	b := &bank{t: t, path: filepath.Join(t.TempDir(), "fee.db"), ledger: newLedger(balances), clock: newClock()}
	b.open()
	t.Cleanup(func() { _ = b.db.Close() })
	return b
}

func (b *bank) open() {
	b.t.Helper()
	b.db = openDB(b.t, b.path)
	b.store = sqlstore.New(b.db)
}

func openDB(t *testing.T, path string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), sqlstore.Migrations()); err != nil {
		t.Fatal(err)
	}
	return db
}

// record makes the fees of n new transfers from account and returns the transfers' ids.
func (b *bank) record(account string, n int) []string {
	b.t.Helper()
	service := fee.NewService(b.store, config, worker.NewBell())
	defer service.Close()
	transfers := make([]fee.Transfer, n)
	ids := make([]string, n)
	for i := range transfers {
		ids[i] = uuid.Must(uuid.NewV7()).String()
		transfers[i] = fee.Transfer{ID: ids[i], AccountNumber: account, Amount: 15000}
	}
	if _, err := service.Record(b.t.Context(), transfers); err != nil {
		b.t.Fatal(err)
	}
	b.clock.advance(time.Second) // past the fees' due time
	return ids
}

func (b *bank) collector(queue fee.Queue) *fee.Collector {
	return fee.NewCollectorAt(queue, b.ledger, config, worker.NewBell(), b.clock.Now)
}

// drain collects without faults, over time, until only fees without balance are left.
func (b *bank) drain() {
	b.t.Helper()
	b.ledger.way = nil
	for range 6 {
		b.clock.advance(2 * lease)
		for more := true; more; {
			var err error
			if more, err = b.collector(b.store).Round(b.t.Context()); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// fees returns the fees of account by transfer id.
func (b *bank) fees(account string) map[string]fee.Fee {
	b.t.Helper()
	list, err := b.store.List(b.t.Context(), account, "", 1<<20)
	if err != nil {
		b.t.Fatal(err)
	}
	fees := map[string]fee.Fee{}
	for _, f := range list {
		fees[f.TransferID] = f
	}
	if len(fees) != len(list) {
		b.t.Errorf("%d fees for %d transfers", len(list), len(fees))
	}
	return fees
}

func (b *bank) events() (n int) {
	b.t.Helper()
	if err := b.db.Read().QueryRowContext(b.t.Context(), "SELECT count(*) FROM outbox").Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// check compares fees and ledger: debited once exactly if charged, never else; one event for each charged fee.
func (b *bank) check(accounts ...string) {
	b.t.Helper()
	charged := 0
	for _, account := range accounts {
		for transfer, f := range b.fees(account) {
			want := 0
			if f.Status == fee.Charged {
				want = 1
				charged++
			}
			if got := b.ledger.debits[transfer]; got != want {
				b.t.Errorf("transfer %s: fee is %s and was debited %d times", transfer, f.Status, got)
			}
		}
	}
	if got := b.events(); got != charged {
		b.t.Errorf("%d events for %d charged fees", got, charged)
	}
	for _, defect := range b.ledger.defects {
		b.t.Error(defect)
	}
	var out bytes.Buffer
	now := b.clock.Now()
	if err := b.store.Verify(b.t.Context(), &out, now.Add(-10*time.Minute), config.LatestDue(now)); err != nil {
		b.t.Errorf("%v\n%s", err, &out)
	}
}

func (b *bank) expect(account string, ids []string, want fee.Status) {
	b.t.Helper()
	fees := b.fees(account)
	for _, id := range ids {
		if got := fees[id]; got.Status != want {
			b.t.Errorf("transfer %s: %+v, want %s", id, got, want)
		}
	}
}

func TestCollects(t *testing.T) {
	b := newBank(t, map[string]money.Cents{rich: 100000})
	ids := b.record(rich, 5)
	charged := worker.NewBell()
	more, err := fee.NewCollectorAt(b.store, b.ledger, config, charged, b.clock.Now).Round(t.Context())
	if err != nil || more {
		t.Errorf("more %v, %v", more, err)
	}
	b.expect(rich, ids, fee.Charged)
	b.check(rich)
	if got := b.ledger.balances[rich]; got != 99000 {
		t.Errorf("balance %s", got)
	}
	for _, id := range ids {
		if _, ok := b.ledger.decided[id+":fee"]; !ok {
			t.Errorf("transfer %s was not charged under its first key", id)
		}
	}
	select {
	case <-charged:
	default:
		t.Error("the relay was not woken")
	}
}

func TestRoundsGoOnWhilePortionsAreFull(t *testing.T) {
	b := newBank(t, map[string]money.Cents{rich: 1 << 40})
	ids := b.record(rich, 300)
	collector := b.collector(b.store)
	for i, want := range []bool{true, false, false} {
		if more, err := collector.Round(t.Context()); err != nil || more != want {
			t.Errorf("round %d: more %v, %v", i, more, err)
		}
	}
	b.expect(rich, ids, fee.Charged)
	b.check(rich)
}

// A refusal for lack of balance holds for ever under its key; the next attempt has a key of its own.
func TestCollectsLaterWhenBalanceComes(t *testing.T) {
	b := newBank(t, map[string]money.Cents{poor: 100})
	ids := b.record(poor, 1)
	b.drain()
	b.expect(poor, ids, fee.Pending)
	if got := b.fees(poor)[ids[0]].Description(); got != "Tarifa de transferência: aguardando saldo" {
		t.Errorf("description %q", got)
	}
	b.check(poor)
	refusals := len(b.ledger.decided)
	b.ledger.deposit(poor, 1000)
	for range 8 {
		b.clock.advance(time.Hour)
		b.drain()
	}
	b.expect(poor, ids, fee.Charged)
	b.check(poor)
	if got, want := len(b.ledger.decided), refusals+1; refusals < 2 || got != want {
		t.Errorf("%d keys were decided, want %d refusals and one more", got, refusals)
	}
}

func TestBackoffForLackOfBalanceGrowsToItsCap(t *testing.T) {
	b := newBank(t, map[string]money.Cents{poor: 0})
	b.record(poor, 1)
	const days = 2
	for range days * 24 * 60 {
		if _, err := b.collector(b.store).Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.clock.advance(time.Minute)
	}
	// Ten doublings of 5 s reach the hour; from there on once per 45 to 60 minutes.
	if b.ledger.calls < days*24 || b.ledger.calls > 10+days*24*60/45+1 {
		t.Errorf("%d attempts in %d days", b.ledger.calls, days)
	}
}

// Replicas whose clocks disagree ask an account without balance more often, but not all the time: each refusal is kept.
func TestReplicasWithDifferentClocks(t *testing.T) {
	for _, ahead := range []time.Duration{-2 * time.Hour, -20 * time.Minute, 2 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			b := newBank(t, map[string]money.Cents{poor: 0})
			b.record(poor, 1)
			wrong := fee.NewCollectorAt(b.store, b.ledger, config, worker.NewBell(), func() time.Time { return b.clock.Now().Add(ahead) })
			const hours = 24
			for minute := range hours * 60 {
				for _, c := range []*fee.Collector{b.collector(b.store), wrong} {
					rounds := []worker.Round{c.Round}
					if minute%int(config.RecallInterval().Minutes()) == 0 {
						rounds = append(rounds, c.Recall)
					}
					for _, round := range rounds {
						if _, err := round(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
				}
				b.clock.advance(time.Minute)
			}
			if b.ledger.calls < hours || b.ledger.calls > 10+4*hours {
				t.Errorf("%d attempts in %d hours", b.ledger.calls, hours)
			}
		})
	}
}

func TestPermanentRefusalWaives(t *testing.T) {
	b := newBank(t, map[string]money.Cents{rich: 100000})
	b.ledger.inactive[rich] = true
	closed, unknown := b.record(rich, 2), b.record("999", 2)
	b.drain()
	b.expect(rich, closed, fee.Waived)
	b.expect("999", unknown, fee.Waived)
	if got := b.fees(rich)[closed[0]].Description(); got != "Tarifa de transferência dispensada: conta inativa" {
		t.Errorf("description %q", got)
	}
	b.ledger.inactive[rich] = false
	b.drain()
	b.check(rich, "999")
}

// An outcome that nobody learnt is asked for again with the same key.
func TestUnknownOutcomeRepeatsTheKey(t *testing.T) {
	for name, way := range map[string]delivery{
		"lost request": lostRequest, "lost answer": lostAnswer, "late request": lateRequest, "rejected": rejected,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBank(t, map[string]money.Cents{rich: 100000, poor: 100})
			ids, poorIDs := b.record(rich, 3), b.record(poor, 3)
			b.ledger.way = func(accountapi.Movement) delivery { return way }
			for range 4 {
				if _, err := b.collector(b.store).Round(t.Context()); !errors.Is(err, errUnknown) {
					t.Fatalf("got %v", err)
				}
				b.expect(rich, ids, fee.Pending)
				b.expect(poor, poorIDs, fee.Pending)
				b.clock.advance(time.Minute)
			}
			if got := b.ledger.calls; got != 4*6 {
				t.Errorf("%d calls", got)
			}
			b.drain()
			b.ledger.deliverLate()
			b.expect(rich, ids, fee.Charged)
			b.expect(poor, poorIDs, fee.Pending)
			for _, id := range ids {
				if _, ok := b.ledger.decided[id+":fee"]; !ok {
					t.Errorf("transfer %s was not charged under its first key", id)
				}
			}
			b.check(rich, poor)
		})
	}
}

// The gauges tell fees that wait for balance, maybe for months, from those that somebody must look after.
func TestMeasureTellsWhatFeesWaitFor(t *testing.T) {
	const collection, balance, age = "fee_pending collection", "fee_pending balance", "fee_pending_oldest_seconds"
	from := gauges(t)
	for _, name := range []string{collection, balance, age} {
		if _, ok := from[name]; !ok {
			t.Errorf("%s is not there from the start", name)
		}
	}
	b := newBank(t, map[string]money.Cents{rich: 100000, poor: 0})
	expect := func(when string, wantCollection, wantBalance, wantAge float64) {
		t.Helper()
		if _, err := b.collector(b.store).Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := gauges(t)
		if got[collection] != wantCollection || got[balance] != wantBalance || math.Abs(got[age]-wantAge) > 60 {
			t.Errorf("%s: %g wait for collection, the oldest for %g s, and %g for balance", when, got[collection], got[age], got[balance])
		}
	}
	expect("nothing", 0, 0, 0)
	b.record(poor, 3)
	b.clock.advance(10 * time.Minute)
	expect("recorded", 3, 0, 600)
	b.drain()
	expect("refused", 0, 3, 0)
	b.clock = newClock()
	b.record(rich, 2)
	b.clock.advance(10 * time.Minute)
	expect("recorded beside refused ones", 2, 3, 600)
	b.drain()
	expect("charged", 0, 3, 0)
	b.check(rich, poor)
}

// gauges are the process's gauges, by name and labels.
func gauges(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			all[name] = m.GetGauge().GetValue()
		}
	}
	return all
}
