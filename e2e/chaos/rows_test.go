package chaos_test

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

// The functions by which a crash point tells its callers apart.
const (
	byCustomer  = "handlers.movement"       // account-svc, a customer's own movement
	byService   = "handlers.applyMovements" // account-svc, a leg of a transfer, or a fee
	byLedger    = "Store).Apply"            // account-svc, a transaction of the ledger
	bySaga      = "Store).Commit"           // transfer-svc, a transaction of transfers
	byRequest   = "Service).Execute"        // transfer-svc, the driver in the client's request
	byRecovery  = "Service).recoverOne"     // transfer-svc, recovery
	byRecorder  = "Store).Add"              // fee-svc, recording events
	byCollector = "Store).Settle"           // fee-svc, settling fees
)

// Row 1: account-svc dies between the commit and its answer, for a customer's debit, a transfer's, and the fee's.
func lostAnswers(s *scenario) {
	ana, bia := s.customer("Ana Um", "1000.00"), s.customer("Bia Um", "")
	s.repeat(func(int) {
		system.Settle(s.T) // or an earlier fee would come by
		armed := s.arm("account-svc", "ledger.applied", stack.Kill, byCustomer)
		own := s.withdrawal(ana, "1.00")
		own.replays = true
		s.launch(own)
		s.killedAt("account-svc", armed)
		s.insist(own)

		claimed := s.arm("fee-svc", "fees.claimed", stack.Stall, "")
		armed = s.arm("account-svc", "ledger.applied", stack.Kill, byService)
		leg := s.launch(s.transfer(ana, bia, "1.00"))
		s.killedAt("account-svc", armed)
		s.insist(leg)
		s.legsReplayed(leg.transferID, ana, bia)

		s.must(claimed.Reached(s.Context()))
		armed = s.arm("account-svc", "ledger.applied", stack.Kill, byService)
		unanswered := s.arm("fee-svc", "fees.answered", stack.Stall, "")
		s.must(claimed.Release())
		s.must(armed.Killed(s.Context()))
		s.must(unanswered.Reached(s.Context())) // nor by a later try of the sidecar
		s.must(service("account-svc").Start(s.Context()))
		s.must(unanswered.Release())
		s.checked(3)
	})
}

// legsReplayed sends both legs of a transfer to account-svc once more, as transfer-svc would, through its sidecar.
func (s *scenario) legsReplayed(transferID string, from, to *bank.Customer) {
	s.Helper()
	leg := func(name, direction string, of, other *bank.Customer) string {
		return fmt.Sprintf(`"request_id":"%s:%s","account_number":%q,"type":%q,"kind":"transfer","amount":"1.00","transfer_id":%q,`+
			`"counterparty_account_number":%q`, transferID, name, of.Number, direction, transferID, other.Number)
	}
	body := fmt.Sprintf(`{"commands":[{%s,"then":{%s}}]}`, leg("debit", "D", from, to), leg("credit", "C", to, from))
	answer := system.Send(s.T, "POST", system.Apps["transfer-svc"].Invoke("account-svc")+"/internal/movements", body, from.Header())
	type result struct {
		Status   string  `json:"status"`
		Replayed bool    `json:"replayed"`
		Then     *result `json:"then"`
	}
	var out struct {
		Results []result `json:"results"`
	}
	replayed := func(r *result) bool { return r != nil && r.Status == "applied" && r.Replayed }
	if err := json.Unmarshal(answer.Body, &out); err != nil || len(out.Results) != 1 || !replayed(&out.Results[0]) || !replayed(out.Results[0].Then) {
		s.violated("the legs of %s again: %d %s", transferID, answer.Status, answer.Body)
	}
}

// Row 2: in each service, the line to the database breaks before COMMIT, or after it has been carried out.
func cutCommits(s *scenario) {
	ana, bia := s.customer("Ana Dois", "10000.00"), s.customer("Bia Dois", "")
	for range *repetitionsFlag { // before there are fees, which the ledger would take as well
		for _, committed := range []bool{false, true} {
			own := s.withdrawal(ana, "1.00")
			own.replays, own.fresh = committed, !committed
			s.cut("account-svc", byLedger, committed, func() { s.launch(own) })
			s.insist(own)
			s.checked(1)
		}
	}
	s.repeat(func(n int) {
		for _, committed := range []bool{false, true} {
			s.cut("transfer-svc", bySaga, committed, func() { s.launch(s.transfer(ana, bia, "1.00")) })

			point := []string{"answered.PENDING", "recorded.DEBITED"}[n%2] // the last before COMPLETED
			held := s.arm("transfer-svc", point, stack.Stall, byRequest)
			s.launch(s.transfer(ana, bia, "1.00"))
			s.must(held.Reached(s.Context()))
			s.cut("transfer-svc", bySaga, committed, func() { s.must(held.Release()) })

			function := []string{byRecorder, byCollector}[n%2]
			s.cut("fee-svc", function, committed, func() { s.launch(s.transfer(ana, bia, "1.00")) })
		}
	})
}

// Row 3: transfer-svc dies at every step of a transfer, forward and back, and so does recovery. Where a point of DEBITED is armed,
// debit and credit take two calls (docs/chaos.md#crash-points); elsewhere they take one.
func killedDrivers(s *scenario) {
	const id = "transfer-svc"
	ana, bia := s.customer("Ana Três", "10000.00"), s.customer("Bia Três", "")
	back := []string{"answered.DEBITED", "recorded.REFUNDING", "answered.REFUNDING", "recorded.FAILED"}
	recovery := []string{"answered.PENDING", "recorded.DEBITED", "answered.DEBITED", "recorded.COMPLETED"}

	for _, point := range []string{"answered.PENDING", "recorded.DEBITED"} {
		armed := s.arm(id, point, stack.Kill, byRequest)
		abandoned := s.launch(s.transfer(ana, bia, "1.00"))
		s.killedAt(id, armed)
		s.insist(abandoned) // which only recovery ends
	}
	s.repeat(func(n int) {
		for _, point := range []string{"recorded.PENDING", "answered.PENDING", "recorded.DEBITED", "answered.DEBITED", "recorded.COMPLETED"} {
			armed := s.arm(id, point, stack.Kill, byRequest)
			s.launch(s.transfer(ana, bia, "1.00"))
			s.killedAt(id, armed)
		}

		// The destination closes its account after the debit is recorded.
		debited := s.arm(id, "recorded.DEBITED", stack.Stall, byRequest)
		refunded, cai := s.transferToClose(ana)
		s.must(debited.Reached(s.Context()))
		s.closes(cai)
		armed := s.arm(id, back[n%len(back)], stack.Kill, byRequest)
		s.must(debited.Release())
		s.killedAt(id, armed)
		s.refundedOnce(refunded)

		// The destination closes its account after the debit, of which nothing is recorded. Recovery sends both legs.
		apart := s.arm(id, "recorded.DEBITED", stack.Stall, byRequest) // so that the debit is sent alone
		armed = s.arm(id, "answered.PENDING", stack.Kill, byRequest)
		refunded, cai = s.transferToClose(ana)
		s.must(armed.Killed(s.Context()))
		s.must(apart.Release())
		s.closes(cai)
		s.must(service(id).Start(s.Context()))
		s.refundedOnce(refunded)

		armed = s.arm(id, "recorded.PENDING", stack.Kill, byRequest)
		s.launch(s.transfer(ana, bia, "1.00"))
		s.must(armed.Killed(s.Context()))
		held := s.arm(id, recovery[n%len(recovery)], stack.Stall, byRecovery) // which may come before all is ready
		s.must(service(id).Start(s.Context()))
		s.must(held.Reached(s.Context()))
		s.must(service(id).Kill())
		s.must(held.Release())
		s.must(service(id).Start(s.Context()))
	})
}

// transferToClose launches a transfer to a new customer, who is about to close the account.
func (s *scenario) transferToClose(from *bank.Customer) (f *fact, to *bank.Customer) {
	s.Helper()
	to = s.customer("Caio Fecha", "")
	f = s.transfer(from, to, "1.00")
	f.may = "INACTIVE_ACCOUNT"
	return s.launch(f), to
}

// closes closes a customer's account.
func (s *scenario) closes(p *bank.Customer) {
	s.Helper()
	s.must(p.Deactivate(s.Context(), p.Password))
	s.closed = append(s.closed, *p)
}

// refundedOnce checks that a transfer has been debited, has been refunded once, and has failed.
func (s *scenario) refundedOnce(f *fact) {
	s.Helper()
	s.insist(f)
	conn := system.OpenBooks(s.T)
	defer conn.Close()
	moved, err := bank.Lines(s.Context(), conn, `SELECT m.kind || ' ' || m.type FROM account.movements m JOIN transfer.transfers t ON t.id = m.transfer_id
		WHERE t.request_id = $1 AND t.state = 'FAILED' ORDER BY m.kind`, f.key)
	s.must(err)
	if want := []string{"refund C", "transfer D"}; f.outcome != refused || !slices.Equal(moved, want) {
		s.violated("%s: the movements of the failed transfer are %q, want %q", f, moved, want)
	}
	s.checked(1)
}

// Row 4: account-svc has committed the credit, with its debit or after it, and does not answer before the driver gives the attempt
// up. Every fourth time account-svc hangs until the request is over.
func lateCredits(s *scenario) {
	ana, bia := s.customer("Ana Quatro", "1000.00"), s.customer("Bia Quatro", "")
	s.repeat(func(n int) {
		for _, apart := range []bool{false, true} {
			system.Settle(s.T)
			f := s.transfer(ana, bia, "1.00")
			var credited *stack.Crashpoint
			if apart {
				debited := s.arm("transfer-svc", "recorded.DEBITED", stack.Stall, byRequest)
				s.launch(f)
				s.must(debited.Reached(s.Context()))
				credited = s.arm("account-svc", "ledger.applied", stack.Stall, byService)
				s.must(debited.Release())
			} else {
				credited = s.arm("account-svc", "ledger.applied", stack.Stall, byService)
				s.launch(f)
			}
			s.must(credited.Reached(s.Context()))
			if n%4 == 0 {
				s.must(service("account-svc").Pause())
				f.pending.Wait()
				if f.known() {
					s.violated("%s, while account-svc hung", f)
				}
				s.must(service("account-svc").Resume())
			} else {
				time.Sleep(attemptTimeout)
				s.insist(f) // by another attempt, since the first still waits
			}
			s.must(credited.Release())
			s.checked(1)
		}
	})
	s.settled("COMPLETED")
}

// settled checks that all transfers of the row end in that state.
func (s *scenario) settled(state string) {
	s.Helper()
	for _, f := range s.facts {
		if f.kind != "transfer" {
			continue
		}
		if s.insist(f); f.outcome != done && state == "COMPLETED" {
			s.violated("%s, not %s", f, state)
		}
	}
}

// Row 5: 100 requests with one key at once have one effect. One gets the first answer; the others get its replay, or 409.
func crowds(s *scenario) {
	ana, bia := s.customer("Ana Cinco", "1000.00"), s.customer("Bia Cinco", "")
	const crowd = 100
	s.repeat(func(n int) {
		f := s.transfer(ana, bia, "1.00")
		if n%2 == 1 {
			f = s.deposit(ana, "1.00")
		}
		receipts, errs := make([]client.Receipt, crowd), make([]error, crowd)
		var all sync.WaitGroup
		for i := range crowd {
			all.Go(func() { receipts[i], errs[i] = f.send(s.Context()) })
		}
		all.Wait()
		fresh := 0
		for i, receipt := range receipts {
			if errs[i] != nil {
				s.failed("one of many", errs[i], 409, "REQUEST_IN_PROGRESS")
			} else if !receipt.Replayed {
				fresh++
				f.transferID = receipt.TransferID
			}
		}
		if fresh != 1 {
			s.violated("%s: %d of %d are the first", f, fresh, crowd)
		}
		f.replays = true
		s.insist(f)
		s.checked(crowd)
	})
}

// failed checks that err is an answer with that status and type.
func (s *scenario) failed(what string, err error, status int, failureType string) {
	s.Helper()
	if problem := bank.UnlikeFailure(err, status, failureType); problem != "" {
		s.violated("%s: %s", what, problem)
	}
}

// Row 6: a key with another amount is refused, whichever was first, and whether the first still runs or has ended.
func otherAmounts(s *scenario) {
	ana, bia := s.customer("Ana Seis", "10000.00"), s.customer("Bia Seis", "")
	conflict := func(f *fact, when string) {
		s.Helper()
		other := &fact{who: f.who, kind: f.kind, key: f.key, to: f.to, amount: "77.00"}
		_, err := other.send(s.Context())
		s.failed(when, err, 422, "IDEMPOTENCY_CONFLICT")
		s.checked(1)
	}
	s.repeat(func(n int) {
		// During, and after.
		running := s.arm("transfer-svc", "recorded.PENDING", stack.Stall, byRequest)
		f := s.launch(s.transfer(ana, bia, "1.00"))
		s.must(running.Reached(s.Context()))
		conflict(f, "during")
		_, err := f.send(s.Context())
		s.failed("the same during", err, 409, "REQUEST_IN_PROGRESS")
		s.must(running.Release())
		s.insist(f)
		conflict(f, "after")
		s.forgetState()
		conflict(f, "after, without a memory")

		own := s.withdrawal(ana, "1.00")
		s.insist(own)
		conflict(own, "after")
		s.forgetState()
		conflict(own, "after, without a memory")

		// Before, or at the very same time: one of two amounts wins, the other is refused.
		one, two := s.transfer(ana, bia, "2.00"), s.transfer(ana, bia, "3.00")
		if n%2 == 1 {
			one, two = s.deposit(ana, "2.00"), s.deposit(ana, "3.00")
		}
		two.key = one.key
		one.may, two.may = "IDEMPOTENCY_CONFLICT", "IDEMPOTENCY_CONFLICT"
		s.launch(one)
		s.launch(two)
		s.insist(one)
		s.insist(two)
		loser := one
		if one.outcome == done {
			loser = two
		}
		if one.outcome == two.outcome {
			s.violated("two amounts with one key: %s; %s", one, two)
		}
		s.forget(loser) // its key is the winner's
		s.checked(2)
	})
}

func (s *scenario) forget(f *fact) {
	s.facts = slices.DeleteFunc(s.facts, func(other *fact) bool { return other == f })
}

// Row 7: 60 opposite transfers at once. Ana wants to pay more than she can have, even if all of Bia's transfers come first. So the
// ledger must refuse some.
func opposites(s *scenario) {
	const most = 13 // of 5.00 each, from 50.00 and 30 times 0.50
	s.repeat(func(int) {
		ana, bia := s.customer("Ana Sete", "50.00"), s.customer("Bia Sete", "50.00")
		var all []*fact
		for range 30 {
			all = append(all, s.transfer(ana, bia, "5.00"), s.transfer(bia, ana, "0.50"))
		}
		for _, f := range all {
			f.may = "INSUFFICIENT_BALANCE"
			s.launch(f)
		}
		paid := 0
		for _, f := range all {
			s.insist(f)
			if f.who == ana && f.outcome == done {
				paid++
			}
		}
		if paid > most {
			s.violated("%d of 30 transfers were paid, with money for %d", paid, most)
		}
		s.insist(s.deposit(ana, "60.00")) // for the fees
		s.insist(s.deposit(bia, "60.00"))
	})
}

// Row 8: what was refused for lack of balance stays refused under its key, also if only the database remembers.
func refusals(s *scenario) {
	ana, bia := s.customer("Ana Oito", ""), s.customer("Bia Oito", "")
	s.repeat(func(n int) {
		commands := []*fact{s.withdrawal(ana, "1000.00"), s.transfer(ana, bia, "1000.00")}
		for _, f := range commands {
			f.may = "INSUFFICIENT_BALANCE"
			s.insist(f)
			if f.outcome != refused {
				s.violated("%s", f)
			}
		}
		s.insist(s.deposit(ana, "1500.00"))
		if n%2 == 1 {
			s.forgetState()
		}
		for _, f := range commands {
			s.askOnceMore(f)
		}
		s.insist(s.withdrawal(ana, "1500.00"))
	})
}
