//go:build chaos

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/bankmore/bankmore/e2e/client"
)

// fact is a command and what its client knows of it.
type fact struct {
	who     *person
	kind    string // deposit, withdrawal or transfer
	key     string
	to      string // account number, of a transfer
	amount  string
	may     string // error type of the refusal that it may get
	replays bool   // the first answer, whenever it comes, must be marked as a repetition
	fresh   bool   // it must not be
	fails   bool   // the database does not take it at present: its error may be 500

	mu         sync.Mutex
	outcome    outcome
	away       int    // answers that it cannot be done at present
	refusal    string // error type
	transferID string // once a receipt has told it
	pending    sync.WaitGroup
}

type outcome string

// What a client may know. A receipt with 202 promises an outcome and is none.
const (
	unknown    outcome = "unknown"
	done       outcome = "done"
	turnedDown outcome = "refused"
)

func (f *fact) String() string {
	return fmt.Sprintf("%s of %s by %s with key %s, to its client %s %s", f.kind, f.amount, f.who.Number, f.key, f.outcome, f.refusal)
}

func (f *fact) known() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.outcome != unknown
}

// person registers a customer with a deposit.
func (s *scene) person(name, deposit string) *person {
	s.Helper()
	p := newPerson(s.T, name, "")
	s.mu.Lock()
	s.people = append(s.people, &p)
	s.mu.Unlock()
	if deposit != "" {
		s.insist(s.deposit(&p, deposit))
	}
	return &p
}

func (s *scene) command(f *fact) *fact {
	f.key, f.outcome = key(), unknown
	s.mu.Lock()
	s.facts = append(s.facts, f)
	s.mu.Unlock()
	return f
}

func (s *scene) deposit(who *person, amount string) *fact {
	return s.command(&fact{who: who, kind: "deposit", amount: amount})
}

func (s *scene) withdrawal(who *person, amount string) *fact {
	return s.command(&fact{who: who, kind: "withdrawal", amount: amount})
}

func (s *scene) transfer(from, to *person, amount string) *fact {
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

// ask sends a command once, and notes what the answer tells, if it tells an outcome. Asked again, a command must have the
// same.
func (s *scene) ask(f *fact) (answered bool) {
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
		f.away++
	case errors.As(err, &failure) && failure.Status < 500 && failure.Status != http.StatusConflict:
		told, refusal, replayed = turnedDown, failure.Type, failure.Replayed()
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
	case told == turnedDown && refusal != f.may:
		s.violated("%s: %s", f, refusal)
	}
	f.outcome, f.refusal = told, refusal
	return true
}

// launch sends a command in the background, and a few times more while there is no outcome: the first request after a
// restart may meet a connection from before.
func (s *scene) launch(f *fact) *fact {
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
func (s *scene) insist(f *fact) {
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

// again asks for an outcome that is known once more, until it is told.
func (s *scene) again(f *fact) {
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

// begin lets clients work until end. What they do is drawn from the seed, not when.
func (s *scene) begin(seed uint64) {
	s.Helper()
	s.beginWith(seed, clients, 25*time.Millisecond)
}

// beginWith is begin with as many clients, each of which rests between two commands.
func (s *scene) beginWith(seed uint64, clients int, rest time.Duration) {
	s.Helper()
	for i := range clients {
		s.person(fmt.Sprintf("Cliente %d", i+1), "10000000.00") // more than is spent
	}
	people := s.people[len(s.people)-clients:]
	ctx, stop := context.WithCancel(s.Context())
	l := &load{rest: rest, stop: stop}
	s.load = l
	for i := range people {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		l.ended.Go(func() {
			for ctx.Err() == nil {
				s.work(l, s.draw(random, people))
			}
		})
	}
}

// draw is a command of somebody, mostly a transfer, and now and then one that exceeds the balance.
func (s *scene) draw(random *rand.Rand, people []*person) *fact {
	from := random.IntN(len(people))
	to := (from + 1 + random.IntN(len(people)-1)) % len(people)
	amount := fmt.Sprintf("%d.%02d", random.IntN(5), 1+random.IntN(99))
	excessive := random.IntN(50) == 0
	kind := random.IntN(10)
	if kind == 0 {
		return s.deposit(people[from], amount)
	}
	may := ""
	if excessive {
		amount, may = "1000000000.00", "INSUFFICIENT_BALANCE"
	}
	var f *fact
	if kind == 1 {
		f = s.withdrawal(people[from], amount)
	} else {
		f = s.transfer(people[from], people[to], amount)
	}
	f.may = may
	return f
}

// work carries a command out as a sane client does: it repeats it until the outcome is known. A few ask once more.
func (s *scene) work(l *load, f *fact) {
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
func (s *scene) flows(when string) {
	s.Helper()
	count := func() int {
		s.load.mu.Lock()
		defer s.load.mu.Unlock()
		return s.load.done
	}
	before := count()
	if err := within(time.Minute, func() error {
		if n := count() - before; n < 2*clients {
			return fmt.Errorf("only %d commands came through", n)
		}
		return nil
	}); err != nil {
		s.violated("%s: %v", when, err)
	}
}

// end stops the clients once each knows the outcome of its last command.
func (s *scene) end() {
	s.load.stop()
	s.load.ended.Wait()
	s.note("under load: %d commands were done, %d refused; %d requests had no outcome and were repeated",
		s.load.done, s.load.known-s.load.done, s.load.lost)
}
