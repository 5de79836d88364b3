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
	"github.com/bankmore/bankmore/account-svc/accountapi/accounttest"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/money"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// story is a way that a transfer can take.
type story struct {
	name   string
	amount money.Cents
	apart  bool // the ledger leaves the credit out when it travels with the debit
	closes bool // the destination closes its account between debit and credit
	want   transfer.State
}

var stories = []story{
	{"completed", 15000, false, false, transfer.Completed},
	{"completed in two calls", 15000, true, false, transfer.Completed},
	{"debit refused", 100001, false, false, transfer.Failed},
	{"credit refused", 15000, false, true, transfer.Failed},
	{"credit refused in a call of its own", 15000, true, true, transfer.Failed},
}

// The test tries every combination of faults of the first three calls, in every story.
func TestFaultsInEveryPosition(t *testing.T) {
	kinds := append([]accounttest.Fault{accounttest.None}, accounttest.Faults...)
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBank(t)
				for n := range len(kinds) * len(kinds) * len(kinds) {
					var script []accounttest.Fault
					for i, rest := 0, n; i < 3; i, rest = i+1, rest/len(kinds) {
						script = append(script, kinds[rest%len(kinds)])
					}
					b.tell(story, script...)
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
func (b *bank) tell(s story, faults ...accounttest.Fault) {
	b.ledger.Change("11", func(a *accounttest.Account) { a.Balance = 100000 })
	b.ledger.Change("22", func(a *accounttest.Account) { a.Inactive = false })
	b.apart, b.closes = s.apart, s.closes
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
					if survived := b.dieAndRecover(t, request, death, story); survived {
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
func (b *bank) dieAndRecover(t *testing.T, request string, death int, s story) (survived bool) {
	t.Helper()
	for _, after := range []bool{false, true} {
		b.tell(s)
		command := order(fmt.Sprint(request, after))
		command.Amount = s.amount
		first, end := b.process(death, after)
		receipt, err := first.Execute(t.Context(), command)
		survived = end.steps.Load() >= 0 && err == nil
		for step := 1; step <= 8; step++ {
			time.Sleep(time.Minute) // all leases have ended
			next, _ := b.process(step, after)
			_, _ = next.Recover(t.Context()) // it may fail or not: the process dies meanwhile
		}
		time.Sleep(time.Minute)
		if _, err := b.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		again := execute(t, b.Service, command)
		if tr := wantHonest(t, b, again.ID); tr.State != s.want || (receipt.ID != "" && receipt.ID != tr.ID) {
			t.Errorf("death at %d, after its effect %t: %s, want %s (%v)", death, after, tr.State, s.want, err)
		}
		if err == nil && receipt.State.Final() && receipt.State != s.want {
			t.Errorf("death at %d, after its effect %t: the client was told %s, want %s", death, after, receipt.State, s.want)
		}
	}
	return survived
}

func (b *bank) process(steps int, after bool) (*transfer.Service, *life) {
	l := &life{Store: b.store, ledger: b, after: after}
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
				b.tell(story)
				healthy := transfer.New(b.store, b, config, b.bells)
				stalled := transfer.New(b.store, stall{b, leg, config.Deadline + time.Minute}, config, b.bells)
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
		time.Sleep(time.Minute)
		calls := 0
		b.ledger.OnMove(func(accountapi.Movement) accounttest.Fault { calls++; return accounttest.None })
		slow := transfer.New(slowClaim{b.store, config.Deadline + transfer.LeaseMargin}, b, config, b.bells)
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

func (s slowClaim) Claim(ctx context.Context, lease time.Duration, limit int) ([]transfer.Transfer, error) {
	claimed, err := s.Store.Claim(ctx, lease, limit)
	time.Sleep(s.time)
	return claimed, err
}

// A process dies in the middle of a transfer. Then the database moves to a server whose clock is an hour behind, so the lease
// of the dead process has an hour left. Meanwhile verify and the gauges show the transfer, and it moves no money. After
// that hour, or as soon as an operator ends the lease as the runbook says, recovery ends the transfer, once.
func TestFailoverToAClockThatIsBehind(t *testing.T) {
	for _, death := range []struct {
		name  string
		apart bool
		steps int
	}{{"before both legs", false, 2}, {"after both legs", false, 3}, {"after the debit", true, 3}, {"after the credit", true, 5}} {
		for _, ended := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, ended by an operator %t", death.name, ended), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBank(t)
					b.apart = death.apart
					b.ahead.Store(int64(time.Hour))
					dying, _ := b.process(death.steps, false)
					_, _ = dying.Execute(t.Context(), order("1"))
					moved := len(b.ledger.Movements())
					b.ahead.Store(0)

					if _, err := b.Execute(t.Context(), order("1")); !errors.Is(err, fault.ErrInProgress) {
						t.Errorf("the client asks again: %v, want ErrInProgress", err)
					}
					var out strings.Builder
					if err := b.store.Verify(t.Context(), &out, 10*time.Minute); err == nil || !strings.Contains(out.String(), "no transfer stays unfinished") {
						t.Errorf("verify does not find it: %v\n%s", err, out.String())
					}
					backlog, err := b.store.Backlog(t.Context())
					for state, found := range backlog {
						if found.Count != 1 || found.Age < 59*time.Minute {
							t.Errorf("%s: %+v, %v; the gauges do not show it", state, found, err)
						}
					}
					if len(backlog) != 1 {
						t.Errorf("backlog %v", backlog)
					}
					if ended {
						b.endLeasesOfTheFuture(t)
					} else {
						for range 60 {
							if _, err := b.Recover(t.Context()); err != nil {
								t.Fatal(err)
							}
							time.Sleep(time.Minute)
						}
						if got := len(b.ledger.Movements()); got != moved {
							t.Errorf("%d movements during that hour", got-moved)
						}
						time.Sleep(config.Deadline + transfer.LeaseMargin)
					}
					if _, err := b.Recover(t.Context()); err != nil {
						t.Fatal(err)
					}
					again := execute(t, b.Service, order("1"))
					if tr := wantHonest(t, b, again.ID); tr.State != transfer.Completed || len(b.ledger.Movements()) != 2 || b.ledger.Balance("22") != 15000 {
						t.Errorf("in the end %s, %d movements", tr.State, len(b.ledger.Movements()))
					}
					wantVerified(t, b)
				})
			})
		}
	}
}

// endLeasesOfTheFuture runs the statement of docs/runbook.md, in SQLite's words.
func (b *bank) endLeasesOfTheFuture(t *testing.T) {
	t.Helper()
	if n, err := b.db.Exec(t.Context(), "UPDATE transfers SET lease_until = 0 WHERE lease_until > "+b.db.Now()+" + 60000000"); err != nil || n != 1 {
		t.Fatalf("%d leases ended, %v", n, err)
	}
}

// Another driver overtakes a driver that waits for an answer. If the slow driver still has time, it goes on from the state
// that the other one has recorded.
func TestOvertakenDriver(t *testing.T) {
	for _, story := range stories {
		synctest.Test(t, func(t *testing.T) {
			b := newBank(t)
			b.tell(story)
			overtaken := transfer.New(b.store, stall{b, ":debit", 2 * time.Second}, config, b.bells)
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
			release := transfer.Changes{Releases: []transfer.Release{{ID: sent[0].ID}}}
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
		b.apart = true
		b.ledger.OnMove(func(m accountapi.Movement) accounttest.Fault {
			if m.Type == accountapi.Debit {
				return accounttest.None
			}
			return accounttest.LostRequest
		})
		overtaken := transfer.New(b.store, stall{b, ":debit", 2 * time.Second}, config, b.bells)
		other := transfer.New(b.store, stall{b, ":credit", config.Deadline + time.Second}, config, b.bells)
		var told transfer.Receipt
		var drivers sync.WaitGroup
		drivers.Go(func() { told = execute(t, overtaken, order("1")) })
		time.Sleep(time.Second)
		b.ahead.Store(int64(30 * time.Second)) // the database moves to another server. There, the lease has ended
		drivers.Go(func() {
			if _, err := other.Recover(t.Context()); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(config.Deadline) // the overtaken one has ended, the other has not
		synctest.Wait()
		tr, err := b.store.Transfer(t.Context(), told.ID)
		if err != nil || tr.State != transfer.Debited || tr.Claims != 1 || tr.Lease != transfer.LeaseMargin {
			t.Errorf("%+v, %v; want DEBITED, with the lease of the other, which lasts for another %s", tr, err, transfer.LeaseMargin)
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
