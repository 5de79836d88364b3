package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
)

// fact is a command and what its client knows of it.
type fact struct {
	who     *bank.Customer
	kind    string // deposit, withdrawal or transfer
	key     string
	to      string // account number, of a transfer
	amount  string
	may     string // error type of the refusal that it may get
	replays bool   // the first answer, whenever it comes, must be marked as a repetition
	fresh   bool   // the first answer must not be marked as a repetition
	fails   bool   // the database refuses it at present, so that its error may be 500

	mu         sync.Mutex
	outcome    outcome
	failures   int    // answers of 5xx
	refusal    string // error type
	transferID string // once a receipt has told it
	pending    sync.WaitGroup
}

type outcome string

// What a client may know. A receipt with 202 tells of no outcome.
const (
	unknown outcome = "unknown"
	done    outcome = "done"
	refused outcome = "refused"
)

func (f *fact) String() string {
	return fmt.Sprintf("%s of %s by %s with key %s, to its client %s %s", f.kind, f.amount, f.who.Number, f.key, f.outcome, f.refusal)
}

func (f *fact) known() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.outcome != unknown
}

// customer registers a customer with a deposit.
func (s *scenario) customer(name, deposit string) *bank.Customer {
	s.Helper()
	s.must(system.WaitAnswers(s.Context(), "account-svc")) // which a row may just have started again
	p := system.NewCustomer(s.T, name, "")
	s.mu.Lock()
	s.customers = append(s.customers, &p)
	s.mu.Unlock()
	if deposit != "" {
		s.insist(s.deposit(&p, deposit))
	}
	return &p
}

func (s *scenario) command(f *fact) *fact {
	f.key, f.outcome = bank.Key(), unknown
	s.mu.Lock()
	s.facts = append(s.facts, f)
	s.mu.Unlock()
	return f
}

func (s *scenario) deposit(who *bank.Customer, amount string) *fact {
	return s.command(&fact{who: who, kind: "deposit", amount: amount})
}

func (s *scenario) withdrawal(who *bank.Customer, amount string) *fact {
	return s.command(&fact{who: who, kind: "withdrawal", amount: amount})
}

func (s *scenario) transfer(from, to *bank.Customer, amount string) *fact {
	return s.command(&fact{who: from, kind: "transfer", to: to.Number, amount: amount})
}

// send makes one request for a command.
func (f *fact) send(ctx context.Context) (receipt client.Receipt, err error) {
	switch f.kind {
	case "transfer":
		return f.who.Transfer(ctx, f.key, f.to, f.amount)
	case "withdrawal":
		answer, err := f.who.Move(ctx, f.key, client.Debit, f.amount)
		return client.Receipt{HTTPStatus: answer.Status, Replayed: answer.Replayed()}, err
	default:
		answer, err := f.who.Move(ctx, f.key, client.Credit, f.amount)
		return client.Receipt{HTTPStatus: answer.Status, Replayed: answer.Replayed()}, err
	}
}

// ask sends a command once. If the answer tells an outcome, ask remembers it; if the client knew an outcome before, it must be the
// same.
func (s *scenario) ask(f *fact) (answered bool) {
	s.asking.RLock()
	defer s.asking.RUnlock()
	receipt, err := f.send(context.WithoutCancel(s.Context()))
	f.mu.Lock()
	defer f.mu.Unlock()
	var failure *client.Failure
	told, refusal, replayed := unknown, "", receipt.Replayed
	switch {
	case err == nil && receipt.HTTPStatus != http.StatusAccepted:
		told = done
	case errors.As(err, &failure) && failure.Status >= 500 && failure.Status != http.StatusServiceUnavailable && !f.fails:
		s.violated("%s: answered by %v", f, err)
	case errors.As(err, &failure) && failure.Status >= 500:
		f.failures++
	case errors.As(err, &failure) && failure.Status < 500 && failure.Status != http.StatusConflict:
		told, refusal, replayed = refused, failure.Type, failure.Replayed()
	}
	if f.transferID != "" && receipt.TransferID != "" && receipt.TransferID != f.transferID {
		s.violated("%s: transfer %s became %s", f, f.transferID, receipt.TransferID)
	}
	if receipt.TransferID != "" {
		f.transferID = receipt.TransferID
	}
	switch {
	case told == unknown:
		return false
	case f.outcome != unknown && (told != f.outcome || refusal != f.refusal || !replayed):
		s.violated("%s: asked again %s %s, marked as a repetition: %t", f, told, refusal, replayed)
	case f.outcome == unknown && (f.replays && !replayed || f.fresh && replayed):
		s.violated("%s: %s, marked as a repetition: %t", f, told, replayed)
	case told == refused && refusal != f.may:
		s.violated("%s: %s", f, refusal)
	}
	f.outcome, f.refusal = told, refusal
	return true
}

// launch sends a command in the background. While there is no outcome, it repeats the command a few times: the first request after
// a restart may use a connection that is broken.
func (s *scenario) launch(f *fact) *fact {
	f.pending.Go(func() {
		for range 8 {
			if s.ask(f); f.known() {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	return f
}

// insist repeats a command until its outcome is known.
func (s *scenario) insist(f *fact) {
	s.Helper()
	f.pending.Wait()
	for limit := time.Now().Add(*patienceFlag); !f.known(); {
		s.ask(f)
		if f.known() {
			return
		}
		if time.Now().After(limit) {
			s.violated("%s: no outcome after %s", f, *patienceFlag)
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// askOnceMore repeats a command whose outcome is known, until an answer tells the outcome.
func (s *scenario) askOnceMore(f *fact) {
	s.Helper()
	for limit := time.Now().Add(*patienceFlag); !s.ask(f); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(limit) {
			s.violated("%s: asked again, no outcome after %s", f, *patienceFlag)
			return
		}
	}
	s.checked(1)
}

// load is clients at work in the background.
type load struct {
	rest  time.Duration // of a client between two commands
	stop  context.CancelFunc
	ended sync.WaitGroup

	mu    sync.Mutex
	known int // outcomes so far
	done  int // of them not refused
	lost  int // requests that brought none
}

// clients is how many customers there are under load, each paying and being paid by the others.
const clients = 6

// begin lets clients work until end. The seed decides what they do, and not when.
func (s *scenario) begin(seed uint64) {
	s.Helper()
	s.beginWith(seed, clients, 25*time.Millisecond)
}

// beginWith is begin with as many clients, each of which rests between two commands.
func (s *scenario) beginWith(seed uint64, clients int, rest time.Duration) {
	s.Helper()
	for i := range clients {
		s.customer(fmt.Sprintf("Cliente %d", i+1), "10000000.00") // more than is spent
	}
	customers := s.customers[len(s.customers)-clients:]
	ctx, stop := context.WithCancel(s.Context())
	l := &load{rest: rest, stop: stop}
	s.load = l
	for i := range customers {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		l.ended.Go(func() {
			for ctx.Err() == nil {
				s.work(l, s.draw(random, customers))
			}
		})
	}
}

// draw returns a command of one of the customers, mostly a transfer. Now and then its amount exceeds the balance.
func (s *scenario) draw(random *rand.Rand, customers []*bank.Customer) *fact {
	from := random.IntN(len(customers))
	to := (from + 1 + random.IntN(len(customers)-1)) % len(customers)
	amount := fmt.Sprintf("%d.%02d", random.IntN(5), 1+random.IntN(99))
	excessive := random.IntN(50) == 0
	kind := random.IntN(10)
	if kind == 0 {
		return s.deposit(customers[from], amount)
	}
	may := ""
	if excessive {
		amount, may = "1000000000.00", "INSUFFICIENT_BALANCE"
	}
	var f *fact
	if kind == 1 {
		f = s.withdrawal(customers[from], amount)
	} else {
		f = s.transfer(customers[from], customers[to], amount)
	}
	f.may = may
	return f
}

// work sends a command and repeats it until the outcome is known, as a client should. After one command in 32 it asks once more.
func (s *scenario) work(l *load, f *fact) {
	for limit := time.Now().Add(*patienceFlag); ; time.Sleep(100 * time.Millisecond) {
		s.ask(f)
		known := f.known()
		l.mu.Lock()
		if known {
			l.known++
			if f.outcome == done {
				l.done++
			}
		} else {
			l.lost++
		}
		l.mu.Unlock()
		if known {
			break
		}
		if time.Now().After(limit) {
			s.violated("%s: no outcome after %s", f, *patienceFlag)
			return
		}
	}
	time.Sleep(l.rest)
	if strings.HasPrefix(f.key, "A") { // one of 32
		s.ask(f)
	}
}

// flows waits until commands come through that are not refused.
func (s *scenario) flows(when string) {
	s.Helper()
	count := func() int {
		s.load.mu.Lock()
		defer s.load.mu.Unlock()
		return s.load.done
	}
	before := count()
	if err := bank.Within(time.Minute, func() error {
		if n := count() - before; n < 2*clients {
			return fmt.Errorf("only %d commands came through", n)
		}
		return nil
	}); err != nil {
		s.violated("%s: %v", when, err)
	}
}

// end stops the clients once each knows the outcome of its last command.
func (s *scenario) end() {
	s.load.stop()
	s.load.ended.Wait()
	s.note("under load: %d commands were done, %d refused; %d requests had no outcome and were repeated",
		s.load.done, s.load.known-s.load.done, s.load.lost)
}
