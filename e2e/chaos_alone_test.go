//go:build chaos

package e2e_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// others is how many customers work beside the one whose commands fail, so that their commands share batches with it.
const others = 12

// Row 19: the database refuses one command among many, or a foreign session has locked its row. Only that command fails
// or waits: everybody else's have their outcome in time. Once the database takes it, it is done.
func aloneWithItsError(s *scene) {
	vera, bia := s.person("Vera Dezenove", "10000.00"), s.person("Bia Dezenove", "")
	var crowd []*person
	for i := range others {
		crowd = append(crowd, s.person(fmt.Sprintf("Outro %d", i+1), "10000.00"))
	}
	s.repeatLong(func(n int) {
		const ledgers, transfers = "13.13", "14.14" // amounts that nobody else has
		s.refused("account-svc", "movements", "NEW.amount = 1313", crowd, s.deposit(vera, ledgers), s.transfer(vera, bia, ledgers))
		s.refused("transfer-svc", "transfers", "NEW.amount = 1414", crowd, s.transfer(vera, bia, transfers))
		s.refusing("fee-svc", "fees", "UPDATE", "NEW.status = 'CHARGED' AND NEW.account_number = '"+vera.Number+"'", func() {
			s.insist(s.transfer(vera, bia, "1.00"))
			s.undisturbed(crowd, 3*time.Second)
			s.othersPay(vera)
		})
		s.lockedRows(n, vera, bia, crowd)
		for _, f := range s.facts {
			s.insist(f)
		}
	})
}

// refused presses on with commands that a table does not take. Their error is their own, and may be 500.
func (s *scene) refused(id, table, condition string, crowd []*person, commands ...*fact) {
	s.Helper()
	fail := func(fails bool) {
		for _, f := range commands {
			f.mu.Lock()
			f.fails = fails
			f.mu.Unlock()
		}
	}
	fail(true)
	s.refusing(id, table, "INSERT", condition, func() {
		s.press(crowd, 5*time.Second, commands...)
		for _, f := range commands {
			if f.known() {
				s.violated("%s, although the database refuses it", f)
			}
		}
	})
	fail(false)
}

// press sends commands again and again while others work for some time.
func (s *scene) press(crowd []*person, lasts time.Duration, commands ...*fact) {
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
func (s *scene) undisturbed(crowd []*person, lasts time.Duration) {
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
				failed.Add(int64(min(1, f.away)))
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
func (s *scene) othersPay(but *person) {
	s.Helper()
	conn := openBooks(s.T)
	defer conn.Close()
	if err := within(20*time.Second, func() error {
		waiting, err := lines(s.Context(), conn, "SELECT id FROM fee.fees WHERE status = 'PENDING' AND account_number <> $1", but.Number)
		if err == nil && len(waiting) > 0 {
			err = fmt.Errorf("%d fees of others wait beside one that cannot be settled", len(waiting))
		}
		return err
	}); err != nil {
		s.violated("%v", err)
	}
	s.checked(1)
}
