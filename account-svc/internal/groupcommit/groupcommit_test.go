package groupcommit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/groupcommit"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/batch"
)

// book is a ledger whose transactions take a second. One with the command "bad" fails. The others decide no Then.
type book struct {
	ledger.Ledger
	bad          error
	transactions atomic.Int64
}

func (b *book) Apply(_ context.Context, commands []ledger.Command) ([]ledger.Result, error) {
	b.transactions.Add(1)
	time.Sleep(time.Second)
	if slices.ContainsFunc(commands, func(c ledger.Command) bool {
		return c.RequestKey == "bad" || c.Then != nil && c.Then.RequestKey == "bad"
	}) {
		return nil, b.bad
	}
	results := make([]ledger.Result, len(commands))
	for i := range results {
		results[i].Replayed = commands[i].RequestKey == "replayed"
	}
	return results, nil
}

// extended is an error with an extent.
type extended struct {
	error
	extent batch.Extent
}

func (e extended) Extent() batch.Extent { return e.extent }

// While a transaction is under way, the commands that arrive wait, and share the next one.
func TestCallersShareATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &book{}
		commits := groupcommit.New(inner)
		defer commits.Close()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if _, err := ledger.ApplyOne(t.Context(), commits, ledger.Command{RequestKey: "good"}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := inner.transactions.Load(); n > 2 {
			t.Errorf("100 commands took %d transactions, want 2", n)
		}
	})
}

// rows is a ledger on a database that locks the rows of accounts as PostgreSQL does: a transaction locks those it needs in
// their order, holds them until its end, and gives up if it waits too long for one of them.
type rows struct {
	ledger.Ledger
	mu     sync.Mutex
	locked map[string]bool
}

var errLocked = extended{errors.New("an account is locked"), batch.SameKey}

func (r *rows) Apply(ctx context.Context, commands []ledger.Command) ([]ledger.Result, error) {
	var numbers []string
	results := make([]ledger.Result, len(commands))
	for i, c := range commands {
		numbers = append(numbers, c.AccountNumber)
		if c.Then != nil {
			numbers = append(numbers, c.Then.AccountNumber)
			results[i].Then = &ledger.Result{}
		}
	}
	slices.Sort(numbers)
	wait := 250 * time.Millisecond
	if batch.Patient(ctx) {
		wait = 3 * time.Second
	}
	for _, number := range slices.Compact(numbers) {
		for began := time.Now(); !r.lock(number); time.Sleep(time.Millisecond) {
			if time.Since(began) > wait {
				return nil, errLocked
			}
		}
		defer r.unlock(number)
	}
	time.Sleep(time.Millisecond)
	return results, nil
}

func (r *rows) lock(number string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.locked[number] {
		return false
	}
	r.locked[number] = true
	return true
}

func (r *rows) unlock(number string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.locked, number)
}

// debit is a command on one account. transfer is one on two accounts.
func debit(number string) ledger.Command { return ledger.Command{AccountNumber: number} }

func transfer(from, to string) ledger.Command {
	c := debit(from)
	c.Then = &ledger.Command{AccountNumber: to}
	return c
}

// While somebody else has locked an account, for 10 s, transfers from it or to it hold up no other account, not even those at
// their other end. A transfer to it is debited at once, and its credit left undecided. As the caller of the real ledger does,
// the test then sends the credit alone.
func TestALockedAccountHoldsUpNoOther(t *testing.T) {
	const lasts, usual = 10 * time.Second, 20 * time.Millisecond
	for _, test := range []struct{ from, to, name string }{{"5", "9", "destination"}, {"9", "5", "origin"}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := &rows{locked: map[string]bool{"9": true}}
				commits := groupcommit.New(inner)
				began := time.Now()
				var all sync.WaitGroup
				send := func(c ledger.Command) {
					sent := time.Now()
					result, err := ledger.ApplyOne(t.Context(), commits, c)
					took := time.Since(sent)
					name := fmt.Sprintf("%s, %s after the lock", c.AccountNumber, sent.Sub(began))
					switch to9 := c.Then != nil && c.Then.AccountNumber == "9"; {
					case c.AccountNumber == "9": // it waits for the lock, or fails
						return
					case err != nil:
						t.Errorf("%s: %v", name, err)
					case to9 && result.Then != nil:
						t.Errorf("%s: a credit to the locked account was decided", name)
					case to9:
						all.Go(func() { _, _ = ledger.ApplyOne(t.Context(), commits, *c.Then) })
					}
					// The first flights have to find out which account is locked.
					if late := sent.Sub(began) > time.Second; late && took > usual || took > time.Second {
						t.Errorf("%s: took %s", name, took)
					}
				}
				for time.Since(began) < lasts {
					for i := range 8 {
						all.Go(func() { send(debit(fmt.Sprint(i))) })
						all.Go(func() { send(transfer(fmt.Sprint(i), fmt.Sprint((i+1)%8))) })
					}
					all.Go(func() { send(transfer(test.from, test.to)) })
					time.Sleep(50 * time.Millisecond)
				}
				inner.unlock("9")
				all.Wait()
				time.Sleep(2 * time.Second)
				if result, err := ledger.ApplyOne(t.Context(), commits, transfer(test.from, test.to)); err != nil || result.Then == nil {
					t.Errorf("once the account is free: %+v, %v", result, err)
				}
				commits.Close()
			})
		})
	}
}

// A service's commands that all wait for a locked account are left undecided soon, since other commands of the service wait behind
// their call. A customer's command waits.
func TestAServiceDoesNotWaitForALockedAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		commits := groupcommit.New(&rows{locked: map[string]bool{"9": true}})
		defer commits.Close()
		fee := debit("9")
		fee.TransferID = "t1"
		for range 3 {
			began := time.Now()
			results, err := commits.Apply(t.Context(), []ledger.Command{fee, fee})
			if err != nil || !errors.Is(results[0].Err, batch.ErrStraggler) || !errors.Is(results[1].Err, batch.ErrStraggler) {
				t.Errorf("%+v, %v", results, err)
			}
			if took := time.Since(began); took > 500*time.Millisecond {
				t.Errorf("took %s", took)
			}
		}
		began := time.Now()
		if _, err := ledger.ApplyOne(t.Context(), commits, debit("9")); !errors.Is(err, errLocked) || time.Since(began) < 2*time.Second {
			t.Errorf("a customer's command: %v after %s", err, time.Since(began))
		}
	})
}

// Once a locked account is free, its transfers are decided together with their credits again, although new ones keep coming.
func TestThensComeBackAfterALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &rows{locked: map[string]bool{"1": true}}
		commits := groupcommit.New(inner)
		began := time.Now()
		time.AfterFunc(400*time.Millisecond, func() { inner.unlock("1") })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var left, decided atomic.Int64 // in the second half
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 300 * time.Microsecond) // so that some call always waits
				for ctx.Err() == nil {
					c := transfer("1", "2")
					c.TransferID = "t"
					result, err := ledger.ApplyOne(ctx, commits, c)
					switch {
					case err != nil || time.Since(began) < 5*time.Second:
					case result.Then == nil:
						left.Add(1)
					default:
						decided.Add(1)
					}
					time.Sleep(time.Duration(1000+137*i) * time.Microsecond)
				}
			})
		}
		all.Wait()
		commits.Close()
		if left.Load() > 0 || decided.Load() < 1000 {
			t.Errorf("%d credits were left out, %d were decided", left.Load(), decided.Load())
		}
	})
}

// A Then that the database refuses does not keep the command before it from being decided, alone or among others.
func TestARefusedThenIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		commits := groupcommit.New(&book{bad: extended{errors.New("refused by the database"), batch.OneInput}})
		defer commits.Close()
		both := ledger.Command{RequestKey: "good", AccountNumber: "1", Then: &ledger.Command{RequestKey: "bad", AccountNumber: "2"}}
		for _, commands := range [][]ledger.Command{{both}, {both, both, {RequestKey: "good", AccountNumber: "2"}}} {
			results, err := commits.Apply(t.Context(), commands)
			if want := make([]ledger.Result, len(commands)); err != nil || !slices.Equal(results, want) {
				t.Errorf("%d commands: %+v, %v", len(commands), results, err)
			}
			time.Sleep(2 * time.Second)
		}
	})
}

// A command that makes the transaction fail has the error in its result. Apply itself fails only if every command has failed.
func TestErrorsStayWithTheirCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := extended{errors.New("refused by the database"), batch.OneInput}
		commits := groupcommit.New(&book{bad: bad})
		defer commits.Close()
		results, err := commits.Apply(t.Context(), []ledger.Command{{RequestKey: "bad", AccountNumber: "1"}, {RequestKey: "replayed", AccountNumber: "2"}})
		if want := []ledger.Result{{Err: bad}, {Replayed: true}}; err != nil || !slices.Equal(results, want) {
			t.Errorf("%+v, %v, want %+v", results, err, want)
		}
		results, err = commits.Apply(t.Context(), []ledger.Command{{RequestKey: "bad", AccountNumber: "1"}})
		if results != nil || !errors.Is(err, bad) {
			t.Errorf("%+v, %v, want %v", results, err, bad)
		}
	})
}
