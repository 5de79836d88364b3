package transfer_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/accountapi/accounttest"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

var config = transfer.Config{Deadline: 8 * time.Second, AttemptTimeout: 3 * time.Second}

// bank is a service with a database and a ledger of its own. The ledger has the accounts 11 (1,000.00), 22 (0.00) and 33
// (inactive). In a synctest bubble its time is virtual: hours pass at once.
type bank struct {
	*transfer.Service
	db     *sqldb.DB
	store  sqlstore.Store
	ledger *accounttest.Ledger
	bells  transfer.Bells
	ahead  atomic.Int64 // how far the database's clock is ahead, in nanoseconds
	apart  bool         // the ledger leaves a Then undecided, so that the credit comes in a call of its own
	closes bool         // account 22 closes after a debit and before its credit
}

func newBank(t *testing.T) *bank {
	t.Helper()
	db, err := sqldb.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "transfer.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), sqlstore.Migrations()); err != nil {
		t.Fatal(err)
	}
	b := &bank{
		db: db, store: sqlstore.New(db), bells: transfer.Bells{Completed: service.NewBell(), Overdue: service.NewBell()},
		ledger: accounttest.New(map[string]accounttest.Account{"11": {Balance: 100000}, "22": {}, "33": {Inactive: true}}),
	}
	db.SetClock(func() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) })
	b.Service = transfer.New(b.store, b, config, b.bells)
	t.Cleanup(func() {
		for _, misuse := range b.ledger.Misuses() {
			t.Error(misuse)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

var ana = transfer.Party{AccountID: "ana", AccountNumber: "11"}

// order returns a command to send 150.00 from Ana's account 11 to account 22.
func order(requestID string) transfer.Command {
	return transfer.Command{RequestID: requestID, Fingerprint: "22/15000", Origin: ana, Destination: "22", Amount: 15000}
}

func execute(t *testing.T, s *transfer.Service, c transfer.Command) transfer.Receipt {
	t.Helper()
	receipt, err := s.Execute(t.Context(), c)
	if err != nil {
		t.Fatalf("Execute: %v", err)
	}
	return receipt
}

// script sets the faults of the next calls to the ledger. Later calls have none.
func (b *bank) script(faults ...accounttest.Fault) {
	var calls atomic.Int64
	b.ledger.OnMove(func(accountapi.Movement) accounttest.Fault {
		if n := int(calls.Add(1)); n <= len(faults) {
			return faults[n-1]
		}
		return accounttest.None
	})
}

// Move implements transfer.Ledger. It sends a movement to the ledger as apart and closes say.
func (b *bank) Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error) {
	_, debited := b.ledger.Decision(m.TransferID + ":debit")
	if b.closes && debited {
		b.ledger.Change("22", func(a *accounttest.Account) { a.Inactive = true })
	}
	if b.apart || b.closes && !debited {
		m.Then = nil
	}
	return b.ledger.Move(ctx, m)
}

// settle ends all faults, runs recovery until every transfer is final, and only then delivers the late requests.
func settle(t *testing.T, b *bank, s *transfer.Service) {
	t.Helper()
	b.script()
	for range 100 {
		if _, err := s.Recover(t.Context()); err != nil {
			t.Fatalf("Recover: %v", err)
		}
		if backlog, err := b.store.Backlog(t.Context()); err != nil || len(backlog) == 0 {
			b.ledger.Deliver()
			return
		}
		time.Sleep(time.Second)
	}
	t.Fatal("recovery does not come to an end")
}

// wantHonest checks that a final transfer agrees with the ledger: debit and credit, or debit and refund, or no leg.
func wantHonest(t *testing.T, b *bank, id string) transfer.Transfer {
	t.Helper()
	tr, err := b.store.Transfer(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	moved := func(leg transfer.Leg) bool {
		decision, ok := b.ledger.Decision(id + ":" + string(leg))
		return ok && decision.Refusal == nil
	}
	debited, credited, refunded := moved(transfer.Debit), moved(transfer.Credit), moved(transfer.Refund)
	honest := map[transfer.State]bool{
		transfer.Completed: debited && credited && !refunded,
		transfer.Failed:    !credited && debited == refunded,
	}[tr.State]
	if !honest {
		t.Errorf("transfer is %s, debited %t, credited %t, refunded %t", tr.State, debited, credited, refunded)
	}
	return tr
}

func wantVerified(t *testing.T, b *bank) {
	t.Helper()
	var out strings.Builder
	if err := b.store.Verify(t.Context(), &out, 0); err != nil {
		t.Errorf("Verify: %v\n%s", err, out.String())
	}
}

func rung(bell transfer.Bell) bool {
	select {
	case <-bell.(service.Bell):
		return true
	default:
		return false
	}
}

func TestExecute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		receipt := execute(t, b.Service, order("1"))
		if receipt.State != transfer.Completed || receipt.Replayed || receipt.CompletedAt.IsZero() {
			t.Errorf("first: %+v", receipt)
		}
		if !rung(b.bells.Completed) {
			t.Error("the relay was not woken")
		}
		again := execute(t, b.Service, order("1"))
		if !again.Replayed || again.Transfer != receipt.Transfer {
			t.Errorf("again: %+v, want %+v", again, receipt)
		}
		if b.ledger.Balance("11") != 85000 || b.ledger.Balance("22") != 15000 || len(b.ledger.Movements()) != 2 {
			t.Errorf("balances %s and %s after %d movements", b.ledger.Balance("11"), b.ledger.Balance("22"), len(b.ledger.Movements()))
		}
		wantVerified(t, b)
	})
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		tooMuch, unknown, inactive := order("1"), order("2"), order("3")
		tooMuch.Amount = 100001
		unknown.Destination = "44"
		inactive.Destination = "33"
		for command, want := range map[transfer.Command]*accountapi.Refusal{
			tooMuch: accountapi.InsufficientBalance, unknown: accountapi.UnknownAccount, inactive: accountapi.InactiveAccount,
		} {
			b.ledger.Change("11", func(a *accounttest.Account) { a.Balance = 100000 })
			first := execute(t, b.Service, command)
			b.ledger.Change("11", func(a *accounttest.Account) { a.Balance += 100000 }) // a failure stays the failure
			again := execute(t, b.Service, command)
			if first.State != transfer.Failed || first.Failure != *want || first.Replayed {
				t.Errorf("first: %+v, want %v", first, want)
			}
			if !again.Replayed || again.Transfer != first.Transfer {
				t.Errorf("again: %+v, want %+v", again, first)
			}
			wantHonest(t, b, first.ID)
		}
		if len(b.ledger.Movements()) != 0 || rung(b.bells.Completed) {
			t.Error("a refused transfer left a trace")
		}
	})
}

// The destination closes its account between the debit and the credit.
func TestRefund(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		b.closes = true
		receipt := execute(t, b.Service, order("1"))
		if receipt.State != transfer.Failed || receipt.Failure != *accountapi.InactiveAccount {
			t.Errorf("receipt: %+v", receipt)
		}
		wantHonest(t, b, receipt.ID)
		if b.ledger.Balance("11") != 100000 || len(b.ledger.Movements()) != 2 {
			t.Errorf("balance %s after %d movements", b.ledger.Balance("11"), len(b.ledger.Movements()))
		}
	})
}

// Debit and credit take one call and one commit. If the ledger leaves the credit out, the credit takes a second call, after
// the debit is recorded. If the ledger refuses the credit, the refund takes a call of its own.
func TestCallsAndCommits(t *testing.T) {
	for _, test := range []struct {
		name        string
		apart       bool
		destination accounttest.Account
		calls       int
		recorded    []transfer.State
	}{
		{"both legs in one call", false, accounttest.Account{}, 1, []transfer.State{transfer.Completed}},
		{"the credit is left out", true, accounttest.Account{}, 2, []transfer.State{transfer.Debited, transfer.Completed}},
		{"the credit is refused", false, accounttest.Account{Balance: accountapi.MaxBalance}, 2, []transfer.State{transfer.Refunding, transfer.Failed}},
		{"the credit is left out, then refused", true, accounttest.Account{Balance: accountapi.MaxBalance}, 3,
			[]transfer.State{transfer.Debited, transfer.Refunding, transfer.Failed}},
		{"the debit is refused", false, accounttest.Account{Inactive: true}, 1, []transfer.State{transfer.Failed}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBank(t)
			b.apart = test.apart
			b.ledger.Change("22", func(a *accounttest.Account) { *a = test.destination })
			store := &recordingStore{Store: b.store}
			receipt := execute(t, transfer.New(store, b, config, b.bells), order("1"))
			if calls := b.ledger.Calls().Moves; calls != test.calls || !slices.Equal(store.recorded, test.recorded) {
				t.Errorf("%s: %d calls and %q recorded, want %d and %q", test.name, calls, store.recorded, test.calls, test.recorded)
			}
			wantHonest(t, b, receipt.ID)
			wantVerified(t, b)
		})
	}
}

// recordingStore keeps the states that steps have come to.
type recordingStore struct {
	transfer.Store
	recorded []transfer.State
}

func (s *recordingStore) Commit(ctx context.Context, changes transfer.Changes) (transfer.Committed, error) {
	for _, step := range changes.Steps {
		s.recorded = append(s.recorded, step.After.State)
	}
	return s.Store.Commit(ctx, changes)
}

func TestConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		other := order("1")
		other.Fingerprint, other.Amount = "22/1", 1
		conflict := func(when string) {
			if _, err := b.Execute(t.Context(), other); !errors.Is(err, fault.ErrKeyReused) {
				t.Errorf("another payload %s the first: %v, want ErrKeyReused", when, err)
			}
		}
		b.ledger.OnMove(func(accountapi.Movement) accounttest.Fault {
			conflict("during")
			if _, err := b.Execute(t.Context(), order("1")); !errors.Is(err, fault.ErrInProgress) {
				t.Errorf("the same during the first: %v, want ErrInProgress", err)
			}
			return accounttest.None
		})
		execute(t, b.Service, order("1"))
		conflict("after")
		if len(b.ledger.Movements()) != 2 {
			t.Errorf("%d movements, want 2", len(b.ledger.Movements()))
		}
	})
}

// The ledger is down for longer than a request waits. The request returns the unfinished transfer, and recovery ends it.
func TestHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		b.ledger.OnMove(func(accountapi.Movement) accounttest.Fault { return accounttest.LostAnswer })
		start := time.Now()
		receipt := execute(t, b.Service, order("1"))
		if took := time.Since(start); receipt.State.Final() || took < config.Deadline || took > config.Deadline+transfer.LastWordTimeout {
			t.Errorf("%s after %s, want unfinished after %s", receipt.State, took, config.Deadline)
		}
		if !rung(b.bells.Overdue) {
			t.Error("recovery was not woken")
		}
		again := execute(t, b.Service, order("1"))
		if !again.Replayed || again.ID != receipt.ID || again.State.Final() {
			t.Errorf("again: %+v, want the unfinished transfer", again)
		}
		if !rung(b.bells.Overdue) {
			t.Error("recovery was not woken by the client that waits")
		}
		if _, err := b.Recover(t.Context()); err != nil { // the ledger is still down
			t.Fatal(err)
		}
		if _, err := b.Recover(t.Context()); err != nil { // the transfer is not due yet
			t.Fatal(err)
		}
		if again := execute(t, b.Service, order("1")); again.State.Final() || !again.Replayed || again.Claims != 1 {
			t.Errorf("while it rests: %+v, want unfinished after one claim", again)
		}
		settle(t, b, b.Service)
		if tr := wantHonest(t, b, receipt.ID); tr.State != transfer.Completed {
			t.Errorf("in the end %s", tr.State)
		}
		if again := execute(t, b.Service, order("1")); again.State != transfer.Completed || !again.Replayed {
			t.Errorf("in the end: %+v", again)
		}
		wantVerified(t, b)
	})
}

// As long as the ledger is down, recovery keeps trying. Its pauses grow up to 30 s.
func TestLongOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		b.ledger.OnMove(func(accountapi.Movement) accounttest.Fault { return accounttest.LostRequest })
		id := execute(t, b.Service, order("1")).ID
		for range 240 {
			if _, err := b.Recover(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
		}
		tr, err := b.store.Transfer(t.Context(), id)
		if err != nil || tr.State != transfer.Pending || tr.Claims < 34 || tr.Claims > 90 {
			t.Errorf("after 20 minutes: %s, %d claims, %v", tr.State, tr.Claims, err)
		}
		settle(t, b, b.Service)
		if tr := wantHonest(t, b, id); tr.State != transfer.Completed {
			t.Errorf("in the end %s", tr.State)
		}
	})
}

// A client that goes away does not stop its transfer half-way.
func TestClientGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		ctx, leave := context.WithCancel(t.Context())
		b.ledger.OnMove(func(accountapi.Movement) accounttest.Fault { leave(); return accounttest.None })
		receipt, err := b.Execute(ctx, order("1"))
		if err != nil || receipt.State != transfer.Completed {
			t.Errorf("%+v, %v", receipt, err)
		}
	})
}

// If account-svc breaks its promise and refuses a refund, the transfer stays in REFUNDING, so that the money is not forgotten.
func TestRefusedRefundIsNeverLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		s := transfer.New(b.store, refundRefuser{}, config, b.bells)
		receipt := execute(t, s, order("1"))
		if receipt.State != transfer.Refunding {
			t.Errorf("state %s, want REFUNDING", receipt.State)
		}
		time.Sleep(time.Hour)
		for range 3 {
			if _, err := s.Recover(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if tr, err := b.store.Transfer(t.Context(), receipt.ID); err != nil || tr.State != transfer.Refunding || tr.Claims != 3 {
			t.Errorf("%+v, %v; want REFUNDING after three claims", tr, err)
		}
	})
}

// refundRefuser is a ledger that accepts every debit and refuses every credit and refund.
type refundRefuser struct{}

func (refundRefuser) Move(_ context.Context, m accountapi.Movement) (accountapi.Outcome, error) {
	if m.Type == accountapi.Debit {
		return accountapi.Outcome{}, nil
	}
	return accountapi.Outcome{Refusal: accountapi.InactiveAccount}, nil
}

func TestSameKeyManyTimesAtOnce(t *testing.T) {
	b := newBank(t)
	const callers = 100
	ids := make(chan string, callers)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			receipt, err := b.Execute(t.Context(), order("1"))
			switch {
			case err == nil && receipt.State == transfer.Completed:
				ids <- receipt.ID
			case !errors.Is(err, fault.ErrInProgress):
				t.Errorf("%+v, %v", receipt, err)
			}
		})
	}
	all.Wait()
	close(ids)
	seen := map[string]bool{}
	for id := range ids {
		seen[id] = true
	}
	if len(seen) != 1 || len(b.ledger.Movements()) != 2 {
		t.Errorf("%d transfers, %d movements; want 1 and 2", len(seen), len(b.ledger.Movements()))
	}
}

// Several replicas recover the same backlog at once.
func TestManyReplicasRecover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		b.ledger.OnMove(func(accountapi.Movement) accounttest.Fault { return accounttest.LostRequest })
		const transfers, replicas = 20, 3
		ids := make([]string, transfers)
		var all sync.WaitGroup
		for i := range transfers {
			all.Go(func() { ids[i] = execute(t, b.Service, order(fmt.Sprint(i))).ID })
		}
		all.Wait()
		b.ledger.Change("11", func(a *accounttest.Account) { a.Balance = 15000 * transfers / 2 }) // half of them can be paid
		var calls atomic.Int64
		b.ledger.OnMove(func(accountapi.Movement) accounttest.Fault { calls.Add(1); return accounttest.None })
		for range replicas {
			s := transfer.New(b.store, b, config, b.bells)
			all.Go(func() {
				if _, err := s.Recover(t.Context()); err != nil {
					t.Errorf("Recover: %v", err)
				}
			})
		}
		all.Wait()
		completed := 0
		for _, id := range ids {
			if wantHonest(t, b, id).State == transfer.Completed {
				completed++
			}
		}
		if calls.Load() != transfers { // debit and credit in one, each sent by one replica only
			t.Errorf("%d calls to the ledger, want %d", calls.Load(), transfers)
		}
		if completed != transfers/2 || b.ledger.Balance("11") != 0 {
			t.Errorf("%d completed, balance %s", completed, b.ledger.Balance("11"))
		}
		wantVerified(t, b)
	})
}

// However long the backlog is, a round claims one portion, has at most that many calls in flight, and does not count the
// backlog. Counting 100,000 transfers in each of 782 rounds would read 40 million rows.
func TestRecoveryIsBounded(t *testing.T) {
	b := newBank(t)
	const piled, portion = 100_000, 128
	err := b.db.InTx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), `
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
			INSERT INTO transfers (id, request_id, fingerprint, origin_account_id, origin_account_number, destination_account_number, amount, state,
				created_at, updated_at, lease_until, claims)
			SELECT 't' || i, i, 'f', 'ana', '11', '22', 1, 'PENDING', 0, 0, i, 0 FROM n`, piled)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	store := &countingStore{Store: b.store}
	ledger := &crowd{}
	s := transfer.New(store, ledger, config, b.bells)
	for range 5 {
		if more, err := s.Recover(t.Context()); err != nil || !more {
			t.Fatalf("%v, %v", more, err)
		}
	}
	if calls, most := ledger.calls.Load(), ledger.most.Load(); calls != 5*portion*2 || most > portion || store.counted.Load() > 0 {
		t.Errorf("%d calls, %d at once, the backlog was counted %d times", calls, most, store.counted.Load())
	}
}

// countingStore counts how often the backlog is counted.
type countingStore struct {
	transfer.Store
	counted atomic.Int64
}

func (s *countingStore) Backlog(ctx context.Context) (map[transfer.State]transfer.Backlog, error) {
	s.counted.Add(1)
	return s.Store.Backlog(ctx)
}

// crowd is a ledger that accepts everything but a Then, which it leaves out, and records how many calls were in flight at once.
type crowd struct{ calls, present, most atomic.Int64 }

func (c *crowd) Move(context.Context, accountapi.Movement) (accountapi.Outcome, error) {
	c.calls.Add(1)
	present := c.present.Add(1)
	defer c.present.Add(-1)
	for most := c.most.Load(); present > most && !c.most.CompareAndSwap(most, present); most = c.most.Load() {
	}
	time.Sleep(time.Millisecond)
	return accountapi.Outcome{}, nil
}
