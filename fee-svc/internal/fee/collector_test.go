package fee_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/accountapi/accounttest"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/fee-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sqldb"
)

const (
	rich = "100"
	poor = "200"
)

// lease is how long the claims of a crashed collector last.
const lease = 15 * time.Second

var config = fee.Config{Amount: 200, BalanceInterval: 30 * time.Second}

var _ fee.Ledger = (*accountapi.Client)(nil)

// bank is a fee database, which tells the time by clock, and a ledger.
type bank struct {
	t      *testing.T
	path   string
	db     *sqldb.DB
	store  sqlstore.Store
	ledger ledger
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
	b.db = openDB(b.t, b.path, b.clock.Now)
	b.store = sqlstore.New(b.db)
}

func openDB(t *testing.T, path string, clock func() time.Time) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), sqlstore.Migrations()); err != nil {
		t.Fatal(err)
	}
	db.SetClock(clock)
	return db
}

// record records the fees of n new transfers from account and returns the transfers' ids.
func (b *bank) record(account string, n int) []string {
	b.t.Helper()
	fees := fee.New(b.store, config, service.NewBell())
	transfers := make([]fee.Transfer, n)
	ids := make([]string, n)
	for i := range transfers {
		ids[i] = uuid.Must(uuid.NewV7()).String()
		transfers[i] = fee.Transfer{ID: ids[i], AccountNumber: account, Amount: 15000}
	}
	for chunk := range slices.Chunk(transfers, 500) {
		if _, errs := fees.Record(b.t.Context(), chunk); errors.Join(errs...) != nil {
			b.t.Fatal(errs)
		}
	}
	return ids
}

func (b *bank) collector(queue fee.Queue) *fee.Collector {
	return fee.NewCollector(queue, b.ledger, config, service.NewBell())
}

// drain collects without faults, over time, until only fees that wait for balance are left.
func (b *bank) drain() {
	b.t.Helper()
	b.ledger.OnMove(nil)
	for range 6 {
		b.clock.advance(2 * lease)
		b.collect()
	}
}

// collect runs rounds as long as they report more work, and returns their number. No time passes.
func (b *bank) collect() (rounds int) {
	b.t.Helper()
	for more := true; more; rounds++ {
		var err error
		if more, err = b.collector(b.store).Round(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
	}
	return rounds
}

// pass lets time pass in steps of a second, and collects after each.
func (b *bank) pass(d time.Duration) {
	b.t.Helper()
	for range d / time.Second {
		b.clock.advance(time.Second)
		b.collect()
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

// check compares fees and ledger: each charged fee has exactly one debit and one event, and no other fee has any.
func (b *bank) check(accounts ...string) {
	b.t.Helper()
	charged, debits := 0, b.ledger.debits()
	for _, account := range accounts {
		for transfer, f := range b.fees(account) {
			want := 0
			if f.Status == fee.Charged {
				want = 1
				charged++
			}
			if got := debits[transfer]; got != want {
				b.t.Errorf("transfer %s: fee is %s and was debited %d times", transfer, f.Status, got)
			}
		}
	}
	if got := b.events(); got != charged {
		b.t.Errorf("%d events for %d charged fees", got, charged)
	}
	for _, defect := range b.ledger.defects() {
		b.t.Error(defect)
	}
	var out bytes.Buffer
	if err := b.store.Verify(b.t.Context(), &out, 10*time.Minute); err != nil {
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
	charged := service.NewBell()
	more, err := fee.NewCollector(b.store, b.ledger, config, charged).Round(t.Context())
	if err != nil || more {
		t.Errorf("more %v, %v", more, err)
	}
	b.expect(rich, ids, fee.Charged)
	b.check(rich)
	if got := b.ledger.Balance(rich); got != 99000 {
		t.Errorf("balance %s", got)
	}
	for _, id := range ids {
		if _, ok := b.ledger.Decision(id + ":fee"); !ok {
			t.Errorf("transfer %s was not charged under its first key", id)
		}
	}
	select {
	case <-charged:
	default:
		t.Error("the relay was not woken")
	}
}

func TestRoundsGoOnWhileThereIsMore(t *testing.T) {
	b := newBank(t, map[string]money.Cents{rich: 1 << 40})
	ids := b.record(rich, 300)
	if rounds := b.collect(); rounds != 10 { // 32 at once
		t.Errorf("%d rounds", rounds)
	}
	b.expect(rich, ids, fee.Charged)
	b.check(rich)
}

// For an account without balance the collector sends questions, but no debits. It charges the fee within a minute after the
// balance suffices.
func TestCollectsLaterWhenBalanceComes(t *testing.T) {
	b := newBank(t, map[string]money.Cents{poor: 100})
	ids := b.record(poor, 1)
	b.pass(10 * time.Minute)
	b.expect(poor, ids, fee.Pending)
	if got := b.fees(poor)[ids[0]].Description(); got != "Tarifa de transferência: aguardando saldo" {
		t.Errorf("description %q", got)
	}
	calls := b.ledger.Calls()
	if calls.Moves != 0 || calls.Accounts < 20 || calls.Accounts > 28 { // each 22.5 to 30 s
		t.Errorf("%d debits, %d questions", calls.Moves, calls.Accounts)
	}
	b.ledger.deposit(poor, 100)
	b.pass(time.Minute)
	b.expect(poor, ids, fee.Charged)
	b.check(poor)
	if _, ok := b.ledger.Decision(ids[0] + ":fee"); !ok {
		t.Error("it was not charged under its first key")
	}
}

// A debtor of 10,000 fees without balance costs as much as a debtor of one. Once there is balance, the collector charges as
// many of the oldest fees as it covers, within a minute.
func TestDebtorOfManyFees(t *testing.T) {
	const many = 10_000
	var counts []string
	for _, n := range []int{1, many} {
		b := newBank(t, map[string]money.Cents{poor: 199})
		ids := b.record(poor, n)
		queue := &counted{Queue: b.store}
		before := b.written()
		for range time.Hour / (5 * time.Second) {
			b.clock.advance(5 * time.Second)
			for more := true; more; {
				var err error
				if more, err = b.collector(queue).Round(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if b.written() != before {
			t.Error("fees were written to that wait for balance")
		}
		calls := b.ledger.Calls()
		t.Logf("%d fees, an hour without balance: %d questions about %d accounts, %d debits, %d refusals, %d calls of the store",
			n, calls.Balances, calls.Accounts, calls.Moves, b.ledger.refusals(), queue.calls)
		if calls.Moves != 0 || b.ledger.refusals() != 0 || calls.Accounts < 100 || calls.Accounts > 161 || queue.calls != 3*calls.Balances {
			t.Errorf("%d debits, %d questions, %d calls of the store", calls.Moves, calls.Accounts, queue.calls)
		}
		counts = append(counts, fmt.Sprint(b.ledger.Calls().Moves, b.ledger.refusals()))
		if n == 1 {
			continue
		}
		b.ledger.deposit(poor, 601) // 8.00: four fees
		b.pass(time.Minute)
		b.expect(poor, ids[:4], fee.Charged)
		b.expect(poor, ids[4:], fee.Pending)
		b.ledger.deposit(poor, 2*many*100)
		b.pass(time.Minute)
		b.expect(poor, ids, fee.Charged)
		age := map[string]int{}
		for i, id := range ids {
			age[id] = i
		}
		round := func(i int) int { return (i + 28) / 32 } // the first four, then 32 at once, which travel together
		for i, m := range b.ledger.Movements() {
			if round(age[m.TransferID]) != round(i) {
				t.Fatalf("the %dth debit is of the %dth fee", i, age[m.TransferID])
			}
		}
		if refusals := b.ledger.refusals(); refusals != 0 {
			t.Errorf("%d refusals", refusals)
		}
		b.check(poor)
	}
	if counts[0] != counts[1] {
		t.Errorf("debits and refusals: %s for one fee, %s for %d", counts[0], counts[1], many)
	}
}

// counted is a queue that counts the calls that find debtors, and the calls that follow.
type counted struct {
	fee.Queue
	calls int
}

func (c *counted) Claim(ctx context.Context, lease time.Duration, limit int) ([]fee.Debtor, error) {
	debtors, err := c.Queue.Claim(ctx, lease, limit)
	if len(debtors) > 0 {
		c.calls++
	}
	return debtors, err
}

func (c *counted) Owed(ctx context.Context, accountNumbers []string, each int) ([]fee.Claim, error) {
	c.calls++
	return c.Queue.Owed(ctx, accountNumbers, each)
}

func (c *counted) Settle(ctx context.Context, settlements []fee.Settlement, releases []fee.Release) ([]fee.Settlement, error) {
	c.calls++
	return c.Queue.Settle(ctx, settlements, releases)
}

// written sums up the columns of fees that collectors write, to show whether anything was written.
func (b *bank) written() (sum string) {
	b.t.Helper()
	err := b.db.Read().QueryRowContext(b.t.Context(), "SELECT count(*) || ' ' || sum(attempt) || ' ' || sum(unknowns) || ' ' || sum(length(reason)) || ' ' || sum(length(status)) FROM fees").Scan(&sum)
	if err != nil {
		b.t.Fatal(err)
	}
	return sum
}

// 10,000 accounts without balance cost 40 bulk questions per interval. An account that gets balance pays within a minute.
func TestManyDebtorsWithoutBalance(t *testing.T) {
	const many = 10_000
	balances := map[string]money.Cents{}
	accounts := make([]string, many)
	for i := range accounts {
		accounts[i] = fmt.Sprint(1_000_000 + i)
		balances[accounts[i]] = 0
	}
	b := newBank(t, balances)
	fees := fee.New(b.store, config, service.NewBell())
	for chunk := range slices.Chunk(accounts, 500) {
		transfers := make([]fee.Transfer, len(chunk))
		for i, account := range chunk {
			transfers[i] = fee.Transfer{ID: uuid.Must(uuid.NewV7()).String(), AccountNumber: account, Amount: 15000}
		}
		if _, errs := fees.Record(t.Context(), transfers); errors.Join(errs...) != nil {
			t.Fatal(errs)
		}
	}
	const seconds = 50
	b.pass(seconds * time.Second)
	calls := b.ledger.Calls()
	t.Logf("%d accounts, %d s without balance: %d questions about %d accounts, %d debits",
		many, seconds, calls.Balances, calls.Accounts, calls.Moves)
	// Jitter spreads the accounts over a quarter of the interval. The test collects once a second, so many portions are not
	// full.
	const intervals = seconds/22 + 1
	if calls.Moves != 0 || calls.Accounts > many*intervals || calls.Accounts < many*2 || calls.Balances > (many/256+10)*intervals {
		t.Errorf("%d debits, %d questions about %d accounts", calls.Moves, calls.Balances, calls.Accounts)
	}
	some := []string{accounts[0], accounts[many/2], accounts[many-1]}
	for _, account := range some {
		b.ledger.deposit(account, 200)
	}
	b.pass(config.BalanceInterval + time.Second)
	if b.ledger.Calls().Moves != len(some) || b.ledger.refusals() != 0 {
		t.Errorf("%d debits, %d refusals", b.ledger.Calls().Moves, b.ledger.refusals())
	}
	for _, account := range accounts {
		b.ledger.deposit(account, 200)
	}
	b.pass(config.BalanceInterval + time.Second)
	if got := b.events(); got != many || b.ledger.refusals() != 0 {
		t.Errorf("%d of %d fees are charged, %d refusals", got, many, b.ledger.refusals())
	}
	debits := b.ledger.debits()
	for id, n := range debits {
		if n != 1 {
			t.Errorf("transfer %s: its fee was debited %d times", id, n)
		}
	}
	if len(debits) != many || len(b.ledger.defects()) != 0 {
		t.Errorf("%d debits for %d fees, %q", len(debits), many, b.ledger.defects())
	}
}

// The collector charges no fee before an older one, even if the balance covers only the newer one.
func TestOldestFirst(t *testing.T) {
	b := newBank(t, map[string]money.Cents{poor: 300})
	var ids []string
	for _, amount := range []money.Cents{500, 200} {
		fees := []fee.Fee{{
			ID: uuid.Must(uuid.NewV7()).String(), TransferID: uuid.Must(uuid.NewV7()).String(), AccountNumber: poor, Amount: amount,
			Status: fee.Pending,
		}}
		if _, err := b.store.Add(t.Context(), fees); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, fees[0].TransferID)
	}
	b.pass(2 * time.Minute)
	b.expect(poor, ids, fee.Pending)
	b.ledger.deposit(poor, 200)
	b.pass(time.Minute)
	b.expect(poor, ids[:1], fee.Charged)
	b.expect(poor, ids[1:], fee.Pending)
	b.check(poor)
}

// The balance goes between question and debit, many times. Each time the ledger refuses at most as many fees as a round takes
// of one account, and the next question follows an interval later.
func TestBalanceThatGoesMeanwhile(t *testing.T) {
	b := newBank(t, map[string]money.Cents{poor: 0})
	ids := b.record(poor, 100)
	b.ledger.OnMove(func(accountapi.Movement) accounttest.Fault {
		b.ledger.Change(poor, func(a *accounttest.Account) { a.Balance = 0 })
		return accounttest.None
	})
	const minutes = 5
	for range minutes * 60 {
		b.ledger.deposit(poor, 1<<30)
		b.pass(time.Second)
	}
	if got, most := b.ledger.refusals(), 32*minutes*60/22+32; got == 0 || got > most {
		t.Errorf("%d refusals in %d minutes, want at most %d", got, minutes, most)
	}
	b.ledger.OnMove(nil)
	b.ledger.deposit(poor, 100*200)
	b.pass(time.Minute)
	b.expect(poor, ids, fee.Charged)
	b.check(poor)
}

// A restored database lacks 29 refusals and the charge that followed them, which emptied the account. The collector finds
// them all again without a pause, and no fee is paid twice.
func TestForgottenAttemptsAreFoundAtOnce(t *testing.T) {
	b := newBank(t, map[string]money.Cents{poor: 0})
	ids := b.record(poor, 3)
	for _, id := range ids {
		debit := func(requestID string) {
			_, err := b.ledger.Move(t.Context(), accountapi.Movement{
				RequestID: requestID, AccountNumber: poor, Type: accountapi.Debit, Kind: accountapi.KindFee, Amount: 200, TransferID: id,
				Description: fee.Description,
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		debit(id + ":fee")
		for attempt := 2; attempt < 30; attempt++ {
			debit(fmt.Sprint(id, ":fee:", attempt))
		}
		b.ledger.deposit(poor, 200)
		debit(id + ":fee:30")
	}
	before := len(b.ledger.Decisions())
	if rounds := b.collect(); rounds > 32 {
		t.Errorf("%d rounds", rounds)
	}
	b.expect(poor, ids, fee.Charged)
	if got := len(b.ledger.Decisions()); got != before {
		t.Errorf("%d new decisions", got-before)
	}
	b.check(poor)
}

// A debit empties the account, and its answer is lost or its collector dies. The answer to the next question says that the
// ledger has decided the debit, although the balance does not cover it any more.
func TestLostAnswerThatEmptiedTheAccount(t *testing.T) {
	for name, queue := range map[string]func(b *bank) fee.Queue{
		"lost answer": func(b *bank) fee.Queue {
			b.ledger.OnMove(func(accountapi.Movement) accounttest.Fault { return accounttest.LostAnswer })
			return b.store
		},
		"crash": func(b *bank) fee.Queue { return &crashing{b.store, "before settling"} },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBank(t, map[string]money.Cents{poor: 400})
			ids := b.record(poor, 3)
			if _, err := b.collector(queue(b)).Round(t.Context()); err == nil {
				t.Error("no error")
			}
			b.ledger.OnMove(nil)
			b.pass(lease + time.Second)
			b.expect(poor, ids[:2], fee.Charged)
			b.expect(poor, ids[2:], fee.Pending)
			b.check(poor)
		})
	}
}

// While the ledger does not answer questions for balances, the collector debits nothing. Soon after the ledger answers, it
// debits everything.
func TestUnansweredQuestion(t *testing.T) {
	b := newBank(t, map[string]money.Cents{rich: 100000, poor: 0})
	ids, poorIDs := b.record(rich, 3), b.record(poor, 1)
	b.collect()
	b.expect(rich, ids, fee.Charged)
	ids = b.record(rich, 3)
	b.ledger.OnBalances(func() accounttest.Fault { return accounttest.LostRequest })
	before := b.ledger.Calls().Moves
	for range 60 {
		b.clock.advance(time.Second)
		if _, err := b.collector(b.store).Round(t.Context()); err != nil && !errors.Is(err, accounttest.ErrUnknown) {
			t.Fatal(err)
		}
	}
	if b.ledger.Calls().Moves != before {
		t.Errorf("%d debits without a balance", b.ledger.Calls().Moves-before)
	}
	if got := b.fees(poor)[poorIDs[0]].Reason; got != fee.ReasonInsufficientBalance {
		t.Errorf("what was known to wait for balance has reason %q", got)
	}
	b.ledger.OnBalances(nil)
	b.pass(2 * time.Second)
	b.expect(rich, ids, fee.Charged)
	b.check(rich, poor)
}

func TestPermanentRefusalWaives(t *testing.T) {
	b := newBank(t, map[string]money.Cents{rich: 100000})
	b.ledger.Change(rich, func(a *accounttest.Account) { a.Inactive = true })
	closed, unknown := b.record(rich, 2), b.record("999", 2)
	b.drain()
	b.expect(rich, closed, fee.Waived)
	b.expect("999", unknown, fee.Waived)
	if got := b.fees(rich)[closed[0]].Description(); got != "Tarifa de transferência dispensada: conta inativa" {
		t.Errorf("description %q", got)
	}
	b.ledger.Change(rich, func(a *accounttest.Account) { a.Inactive = false })
	b.drain()
	b.check(rich, "999")
}

// After an unknown outcome the collector sends the same debit with the same key again.
func TestUnknownOutcomeRepeatsTheKey(t *testing.T) {
	for _, way := range []accounttest.Fault{accounttest.LostRequest, accounttest.LostAnswer, accounttest.Late, accounttest.Rejected} {
		t.Run(string(way), func(t *testing.T) {
			b := newBank(t, map[string]money.Cents{rich: 100000, poor: 100})
			ids, poorIDs := b.record(rich, 3), b.record(poor, 3)
			b.ledger.OnMove(func(accountapi.Movement) accounttest.Fault { return way })
			for range 4 {
				if _, err := b.collector(b.store).Round(t.Context()); !errors.Is(err, accounttest.ErrUnknown) {
					t.Fatalf("got %v", err)
				}
				b.expect(rich, ids, fee.Pending)
				b.expect(poor, poorIDs, fee.Pending)
				b.clock.advance(time.Minute)
			}
			if got := b.ledger.Calls().Moves; got != 4*3 { // the others have no balance
				t.Errorf("%d calls", got)
			}
			b.drain()
			b.ledger.Deliver()
			b.expect(rich, ids, fee.Charged)
			b.expect(poor, poorIDs, fee.Pending)
			for _, id := range ids {
				if _, ok := b.ledger.Decision(id + ":fee"); !ok {
					t.Errorf("transfer %s was not charged under its first key", id)
				}
			}
			b.check(rich, poor)
		})
	}
}
