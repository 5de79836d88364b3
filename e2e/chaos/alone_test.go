package chaos_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

// others is how many customers work beside the one whose commands fail, so that their commands share batches with it.
const others = 12

// Row 19: the database refuses one command among many, or another session has locked its row. Only that command fails or
// waits. All others have their outcome in time. When the database takes the command again, it is done.
func aloneWithItsError(s *scenario) {
	vera, bia, zoe := s.customer("Vera Dezenove", "10000.00"), s.customer("Bia Dezenove", ""), s.customer("Zoé Dezenove", "10000.00")
	var crowd []*bank.Customer
	for i := range others {
		crowd = append(crowd, s.customer(fmt.Sprintf("Outro %d", i+1), "10000.00"))
	}
	s.repeatLong(func(n int) {
		s.freshSidecars()
		const ledgers, transfers = "13.13", "14.14" // amounts that nobody else has
		s.refused("account-svc", "movements", "NEW.amount = 1313", crowd, s.deposit(vera, ledgers), s.transfer(vera, bia, ledgers))
		s.refused("transfer-svc", "transfers", "NEW.amount = 1414", crowd, s.transfer(vera, bia, transfers))
		s.must(system.RefuseRows(s.Context(), "fee-svc", "fees", "UPDATE", "NEW.status = 'CHARGED' AND NEW.account_number = '"+vera.Number+"'", func() {
			s.insist(s.transfer(vera, bia, "1.00"))
			s.undisturbed(crowd, 3*time.Second)
			s.othersPay(vera)
		}))
		if system.Shared() {
			s.lockedRows(n, vera, bia, zoe, crowd)
		}
		for _, f := range s.facts {
			s.insist(f)
		}
	})
}

// refused repeats commands that a table refuses, while others work. The answers to those commands may be 500.
func (s *scenario) refused(id, table, condition string, crowd []*bank.Customer, commands ...*fact) {
	s.Helper()
	fail := func(fails bool) {
		for _, f := range commands {
			f.mu.Lock()
			f.fails = fails
			f.mu.Unlock()
		}
	}
	fail(true)
	s.must(system.RefuseRows(s.Context(), id, table, "INSERT", condition, func() {
		s.press(crowd, 5*time.Second, commands...)
		for _, f := range commands {
			if f.known() {
				s.violated("%s, although the database refuses it", f)
			}
		}
	}))
	fail(false)
}

// foreignLock is how long a session that belongs to no service holds a row.
const foreignLock = 10 * time.Second

// lockedRows lets another session lock a row of a customer for a while. In turn it is the row of her account, and the row of a
// transfer that is debited and not yet credited. While her account is locked, she pays somebody, and every other time somebody pays
// her as well. Then the ledger debits the payer and leaves her credit out. The commands are repeated meanwhile, and the others work.
func (s *scenario) lockedRows(n int, vera, bia, zoe *bank.Customer, crowd []*bank.Customer) {
	s.Helper()
	switch n % 4 {
	case 0:
		s.must(system.LockRow(s.Context(), "account.accounts WHERE number = $1", vera.Number, func() {
			s.press(crowd, foreignLock, s.withdrawal(vera, "1.00"), s.transfer(vera, bia, "1.00"))
		}))
		return
	case 2:
		paid := s.transfer(zoe, vera, "1.00")
		s.must(system.LockRow(s.Context(), "account.accounts WHERE number = $1", vera.Number, func() {
			s.press(crowd, foreignLock, s.withdrawal(vera, "1.00"), s.transfer(vera, bia, "1.00"), paid)
			conn := system.OpenBooks(s.T)
			defer conn.Close()
			states, err := bank.Lines(s.Context(), conn, "SELECT state FROM transfer.transfers WHERE request_id = $1", paid.key)
			s.must(err)
			if !slices.Equal(states, []string{"DEBITED"}) {
				s.violated("%s: is %q while the account of its destination is locked, want DEBITED", paid, states)
			}
			s.checked(1)
		}))
		return
	}
	f := s.transfer(vera, bia, "1.00")
	held := s.arm("transfer-svc", "recorded.DEBITED", stack.Stall, byRequest)
	s.launch(f)
	s.must(held.Reached(s.Context()))
	s.must(system.LockRow(s.Context(), "transfer.transfers WHERE request_id = $1", f.key, func() {
		s.must(held.Release())
		s.press(crowd, foreignLock, f)
	}))
}

// press repeats commands while others work for some time.
func (s *scenario) press(crowd []*bank.Customer, lasts time.Duration, commands ...*fact) {
	s.Helper()
	var pressing sync.WaitGroup
	stop := make(chan struct{})
	for _, f := range commands {
		pressing.Go(func() {
			for !f.known() {
				s.ask(f)
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
	s.undisturbed(crowd, lasts)
	close(stop)
	pressing.Wait()
}

// undisturbed lets customers work for some time. Each of their commands must have its outcome within bearable, and none
// may be answered by a failure.
func (s *scenario) undisturbed(crowd []*bank.Customer, lasts time.Duration) {
	s.Helper()
	var all sync.WaitGroup
	var done, failed atomic.Int64
	end := time.Now().Add(lasts)
	for i, who := range crowd {
		all.Go(func() {
			for n := i; time.Now().Before(end); n++ {
				f := s.deposit(who, "2.00")
				if n%2 == 1 {
					f = s.transfer(who, crowd[(i+1)%len(crowd)], "1.00")
				}
				began := time.Now()
				for !f.known() && time.Since(began) <= bearable {
					s.ask(f)
				}
				if !f.known() {
					s.violated("%s: no outcome after %s, beside a command that cannot be done", f, bearable)
					return
				}
				done.Add(1)
				failed.Add(int64(min(1, f.failures)))
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	all.Wait()
	if done.Load() < int64(len(crowd)) {
		s.violated("in %s only %d commands of others were done", lasts, done.Load())
	}
	if failed.Load() > 0 {
		s.violated("%d of %d commands of others failed beside one that cannot be done", failed.Load(), done.Load())
	}
	s.checked(int(done.Load()))
}

// othersPay waits until everybody's fees are collected but one customer's.
func (s *scenario) othersPay(but *bank.Customer) {
	s.Helper()
	conn := system.OpenBooks(s.T)
	defer conn.Close()
	if err := bank.Within(20*time.Second, func() error {
		waiting, err := bank.Lines(s.Context(), conn, "SELECT id FROM fee.fees WHERE status = 'PENDING' AND account_number <> $1", but.Number)
		if err == nil && len(waiting) > 0 {
			err = fmt.Errorf("%d fees of others wait beside one that cannot be settled", len(waiting))
		}
		return err
	}); err != nil {
		s.violated("%v", err)
	}
	s.checked(1)
}
