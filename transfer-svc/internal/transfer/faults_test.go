package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer/ledgertest"
)

// stories are the three ways in which a transfer can end.
var stories = []struct {
	name   string
	amount money.Cents
	closes bool // the destination closes its account before the credit
	want   transfer.State
}{
	{"completed", 15000, false, transfer.Completed},
	{"debit refused", 100001, false, transfer.Failed},
	{"credit refused", 15000, true, transfer.Failed},
}

// The test tries every combination of faults of the first three calls, in every story.
func TestFaultsInEveryPosition(t *testing.T) {
	kinds := append([]ledgertest.Fault{ledgertest.None}, ledgertest.Faults...)
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBank(t)
				for n := range len(kinds) * len(kinds) * len(kinds) {
					var script []ledgertest.Fault
					for i, rest := 0, n; i < 3; i, rest = i+1, rest/len(kinds) {
						script = append(script, kinds[rest%len(kinds)])
					}
					b.tell(story.closes, script...)
					command := order(fmt.Sprint(n))
					command.Amount = story.amount
					receipt := execute(t, b.Service, command)
					if n%2 == 0 {
						b.ledger.Deliver() // late requests arrive before recovery
					}
					settle(t, b, b.Service)
					if tr := wantHonest(t, b, receipt.ID); tr.State != story.want {
						t.Errorf("%v: %s, want %s", script, tr.State, story.want)
					}
					if receipt.State.Final() && receipt.State != story.want {
						t.Errorf("%v: the client was told %s", script, receipt.State)
					}
				}
				wantVerified(t, b)
			})
		})
	}
}

// tell prepares the accounts for a story and sets the faults of the next calls.
func (b *bank) tell(closes bool, faults ...ledgertest.Fault) {
	b.ledger.Change("11", func(a *ledgertest.Account) { a.Balance = 100000 })
	b.ledger.Change("22", func(a *ledgertest.Account) { a.Inactive = false })
	b.closes = closes
	b.script(faults...)
}

// errDead is what a dead process gets for every call. Its later steps have no effect.
var errDead = errors.New("process is dead")

// life is the life of a process that dies at its nth step, before or after the step has taken effect.
type life struct {
	transfer.Store
	ledger transfer.Ledger
	steps  atomic.Int64 // that are left
	after  bool
}

// live takes a step if the process is alive.
func live[T any](l *life, step func() (T, error)) (out T, err error) {
	left := l.steps.Add(-1)
	if left < 0 || (left == 0 && !l.after) {
		return out, errDead
	}
	if out, err = step(); left == 0 {
		return out, errDead
	}
	return out, err
}

func (l *life) Commit(ctx context.Context, changes transfer.Changes) (transfer.Committed, error) {
	return live(l, func() (transfer.Committed, error) { return l.Store.Commit(ctx, changes) })
}

func (l *life) Transfer(ctx context.Context, id string) (transfer.Transfer, error) {
	return live(l, func() (transfer.Transfer, error) { return l.Store.Transfer(ctx, id) })
}

func (l *life) Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error) {
	return live(l, func() (accountapi.Outcome, error) { return l.ledger.Move(ctx, m) })
}

// A process dies at every step, just before or just after the step takes effect. Recovery, which dies at every step as well,
// ends the transfer.
func TestDeathAtEveryStep(t *testing.T) {
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBank(t)
				for death := 1; ; death++ {
					request := fmt.Sprint(death)
					if survived := b.dieAndRecover(t, request, death, story.amount, story.closes, story.want); survived {
						if least := 4; death < least {
							t.Errorf("only %d steps", death)
						}
						break
					}
				}
				wantVerified(t, b)
			})
		})
	}
}

// dieAndRecover runs one transfer in a process that dies at the step death, and then in processes that die while they
// recover it. It reports whether the first process survived because it needed fewer steps.
func (b *bank) dieAndRecover(t *testing.T, request string, death int, amount money.Cents, closes bool, want transfer.State) (survived bool) {
	t.Helper()
	for _, after := range []bool{false, true} {
		b.tell(closes)
		command := order(fmt.Sprint(request, after))
		command.Amount = amount
		first, end := b.process(death, after)
		receipt, err := first.Execute(t.Context(), command)
		survived = end.steps.Load() >= 0 && err == nil
		first.Close()
		for step := 1; step <= 8; step++ {
			time.Sleep(time.Minute) // all leases have ended
			next, _ := b.process(step, after)
			_, _ = next.Recover(t.Context()) // it may fail or not: the process dies meanwhile
			next.Close()
		}
		time.Sleep(time.Minute)
		if _, err := b.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		again := execute(t, b.Service, command)
		if tr := wantHonest(t, b, again.ID); tr.State != want || (receipt.ID != "" && receipt.ID != tr.ID) {
			t.Errorf("death at %d, after its effect %t: %s, want %s (%v)", death, after, tr.State, want, err)
		}
		if err == nil && receipt.State.Final() && receipt.State != want {
			t.Errorf("death at %d, after its effect %t: the client was told %s, want %s", death, after, receipt.State, want)
		}
	}
	return survived
}

func (b *bank) process(steps int, after bool) (*transfer.Service, *life) {
	l := &life{Store: b.store, ledger: b.ledger, after: after}
	l.steps.Store(int64(steps))
	return transfer.New(l, l, config, b.bells), l
}

// A driver stalls in the middle of a leg for longer than its lease. Meanwhile another driver ends the transfer. Then the
// first one goes on with what it knew before.
func TestStalledDriver(t *testing.T) {
	for _, story := range stories {
		for _, leg := range []string{":debit", ":credit", ":refund"} {
			synctest.Test(t, func(t *testing.T) {
				b := newBank(t)
				b.tell(story.closes)
				healthy := transfer.New(b.store, b.ledger, config, b.bells)
				defer healthy.Close()
				stalled := transfer.New(b.store, stall{b.ledger, leg, config.Deadline + time.Minute}, config, b.bells)
				defer stalled.Close()
				var told transfer.Receipt
				ended := make(chan struct{})
				command := order("1")
				command.Amount = story.amount
				go func() { defer close(ended); told = execute(t, stalled, command) }()
				time.Sleep(config.Deadline + transfer.LeaseMargin + time.Second)
				settle(t, b, healthy)
				<-ended
				if tr := wantHonest(t, b, told.ID); tr.State != story.want || (told.State.Final() && told.State != tr.State) {
					t.Errorf("%s, stalled in %s: %s, told %s", story.name, leg, tr.State, told.State)
				}
				wantVerified(t, b)
			})
		}
	}
}

// If the database answers a claim only after the lease has ended, another replica may be driving the transfer. So the
// replica sends nothing.
func TestSlowClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		first, _ := b.process(2, false) // it dies before the debit
		_, _ = first.Execute(t.Context(), order("1"))
		first.Close()
		time.Sleep(time.Minute)
		calls := 0
		b.ledger.OnMove(func(accountapi.Movement) ledgertest.Fault { calls++; return ledgertest.None })
		slow := transfer.New(slowClaim{b.store, config.Deadline + transfer.LeaseMargin}, b.ledger, config, b.bells)
		defer slow.Close()
		if _, err := slow.Recover(t.Context()); err != nil || calls != 0 {
			t.Errorf("%d legs sent without a lease, %v", calls, err)
		}
		settle(t, b, b.Service)
		if tr := execute(t, b.Service, order("1")); tr.State != transfer.Completed {
			t.Errorf("in the end %s", tr.State)
		}
		wantVerified(t, b)
	})
}

// slowClaim is a database that answers claims late, even after their context has ended.
type slowClaim struct {
	transfer.Store
	time time.Duration
}

func (s slowClaim) Claim(ctx context.Context, now, until time.Time, limit int) ([]transfer.Transfer, error) {
	claimed, err := s.Store.Claim(ctx, now, until, limit)
	time.Sleep(s.time)
	return claimed, err
}

// A replica whose clock is a day ahead dies, or leaves a transfer to recovery. Recovery does not wait for that day to pass.
func TestClockADayAhead(t *testing.T) {
	for name, steps := range map[string]int{"dies before the debit": 2, "hands over": 1000} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBank(t)
				b.ledger.OnMove(func(accountapi.Movement) ledgertest.Fault { return ledgertest.LostAnswer })
				wrong, _ := b.process(steps, false)
				transfer.RunAhead(wrong, 24*time.Hour)
				_, _ = wrong.Execute(t.Context(), order("1"))
				_, _ = wrong.Recover(t.Context())
				wrong.Close()
				rung(b.bells.Overdue)

				if again := execute(t, b.Service, order("1")); !again.Replayed || again.State.Final() || !rung(b.bells.Overdue) {
					t.Errorf("the client asks again: %+v, want unfinished, and recovery woken", again)
				}
				b.script()
				if _, err := b.Recall(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := b.Recover(t.Context()); err != nil {
					t.Fatal(err)
				}
				if again := execute(t, b.Service, order("1")); again.State != transfer.Completed {
					t.Errorf("after recovery: %+v", again)
				}
				wantVerified(t, b)
			})
		})
	}
}

// Replicas whose clocks differ may claim a transfer from each other, but no more often than Recall runs.
func TestReplicasWithDifferentClocks(t *testing.T) {
	for _, ahead := range []time.Duration{-2 * time.Hour, 30 * time.Second, 2 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBank(t)
				var attempts atomic.Int32
				b.ledger.OnMove(func(accountapi.Movement) ledgertest.Fault {
					attempts.Add(1)
					return ledgertest.LostRequest
				})
				wrong := transfer.New(b.store, b.ledger, config, b.bells)
				defer wrong.Close()
				transfer.RunAhead(wrong, ahead)
				execute(t, b.Service, order("1"))
				attempts.Store(0)
				const minutes = 10
				for second := range minutes * 60 {
					time.Sleep(time.Second)
					for _, s := range []*transfer.Service{b.Service, wrong} {
						if second%60 == 0 {
							if _, err := s.Recall(t.Context()); err != nil {
								t.Fatal(err)
							}
						}
						if _, err := s.Recover(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
				}
				if n := attempts.Load(); n < minutes || n > 6*minutes {
					t.Errorf("%d attempts in %d minutes", n, minutes)
				}
				b.script()
				if _, err := b.Recall(t.Context()); err != nil {
					t.Fatal(err)
				}
				settle(t, b, b.Service)
			})
		})
	}
}

// Another driver overtakes a driver that waits for an answer. If the slow driver still has time, it goes on from the state
// that the other one has recorded.
func TestOvertakenDriver(t *testing.T) {
	for _, story := range stories {
		synctest.Test(t, func(t *testing.T) {
			b := newBank(t)
			b.tell(story.closes)
			overtaken := transfer.New(b.store, stall{b.ledger, ":debit", 2 * time.Second}, config, b.bells)
			defer overtaken.Close()
			var told transfer.Receipt
			ended := make(chan struct{})
			command := order("1")
			command.Amount = story.amount
			go func() { defer close(ended); told = execute(t, overtaken, command) }()
			time.Sleep(time.Second)
			sent, err := b.store.List(t.Context(), ana, uuid.Max.String(), 1)
			if err != nil || len(sent) != 1 {
				t.Fatalf("%v, %v", sent, err)
			}
			release := transfer.Changes{Releases: []transfer.Release{{ID: sent[0].ID, Until: time.Now()}}}
			if _, err := b.store.Commit(t.Context(), release); err != nil {
				t.Fatal(err)
			}
			settle(t, b, b.Service)
			<-ended
			if tr := wantHonest(t, b, told.ID); tr != told.Transfer || tr.State != story.want {
				t.Errorf("%s: stored %+v, told %+v", story.name, tr, told.Transfer)
			}
			wantVerified(t, b)
		})
	}
}

// Another driver overtakes a driver, which goes on from the recorded state and then reaches its deadline. Its release must
// not end the lease of the other driver, which is still at work.
func TestOvertakenDriverLeavesTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t)
		b.ledger.OnMove(func(m accountapi.Movement) ledgertest.Fault {
			if m.Type == accountapi.Debit {
				return ledgertest.None
			}
			return ledgertest.LostRequest
		})
		overtaken := transfer.New(b.store, stall{b.ledger, ":debit", 2 * time.Second}, config, b.bells)
		defer overtaken.Close()
		other := transfer.New(b.store, stall{b.ledger, ":credit", config.Deadline + time.Second}, config, b.bells)
		defer other.Close()
		const ahead = 30 * time.Second // so it claims the transfer before the lease has ended
		transfer.RunAhead(other, ahead)
		var told transfer.Receipt
		var drivers sync.WaitGroup
		drivers.Go(func() { told = execute(t, overtaken, order("1")) })
		time.Sleep(time.Second)
		drivers.Go(func() {
			if _, err := other.Recover(t.Context()); err != nil {
				t.Error(err)
			}
		})
		until := time.Now().Add(ahead + config.Deadline + transfer.LeaseMargin)
		time.Sleep(config.Deadline) // the overtaken one has ended, the other has not
		synctest.Wait()
		tr, err := b.store.Transfer(t.Context(), told.ID)
		if err != nil || tr.State != transfer.Debited || tr.Claims != 1 || !tr.LeaseUntil.Equal(until) {
			t.Errorf("%+v, %v; want DEBITED, with the lease until %s of the other", tr, err, until)
		}
		drivers.Wait()
		settle(t, b, b.Service)
		if tr := wantHonest(t, b, told.ID); tr.State != transfer.Completed {
			t.Errorf("in the end %s", tr.State)
		}
	})
}

// stall is a connection to the ledger that delays the answer to one leg, even after its context has ended.
type stall struct {
	transfer.Ledger
	leg  string
	time time.Duration
}

func (s stall) Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error) {
	outcome, err := s.Ledger.Move(ctx, m)
	if strings.HasSuffix(m.RequestID, s.leg) {
		time.Sleep(s.time)
	}
	return outcome, err
}
