package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
)

// hangUps are clients that reset their connections, again and again: after the first byte of an answer, or at any time
// while the request is under way.
type hangUps struct {
	scenario *scenario
	door     string // host and port of the ingress
	from     *bank.Customer
	to       *bank.Customer

	early, late atomic.Int64 // connections reset before an answer began, and after that
	ended       sync.WaitGroup

	mu        sync.Mutex
	transfers []*fact // asked for on connections that were reset
}

// patienceOfHangUps is how long a client waits at most before it resets a connection on which no answer has begun.
const patienceOfHangUps = 40 * time.Millisecond

// One of so many requests of a client that hangs up is a transfer.
const hangUpsPerTransfer = 40

// hangUp lets that many clients hang up until ctx ends. Each waits for at most rest between two connections.
func (s *scenario) hangUp(ctx context.Context, clients int, rest time.Duration, from, to *bank.Customer) *hangUps {
	s.Helper()
	door, err := url.Parse(system.URL())
	s.must(err)
	h := &hangUps{scenario: s, door: door.Host, from: from, to: to}
	for range clients {
		h.ended.Go(func() {
			for ctx.Err() == nil {
				if err := h.once(); err != nil {
					s.violated("a client cannot reach the ingress: %v", err)
					return
				}
				if rest > 0 {
					time.Sleep(rand.N(rest))
				}
			}
		})
	}
	return h
}

// once connects, sends a request and resets the connection. An error means that there was no connection in time.
func (h *hangUps) once() error {
	conn, err := net.DialTimeout("tcp", h.door, bearable)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil { // closing sends RST, whatever is still on its way
		return err
	}
	wait := rand.N(patienceOfHangUps)
	if rand.IntN(2) == 0 {
		wait = bearable // for the first byte
	}
	if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	_, _ = conn.Write(h.request()) // the ingress may have closed the connection; then there is nothing to read either
	if n, _ := conn.Read(make([]byte, 1)); n == 1 {
		h.late.Add(1)
	} else {
		h.early.Add(1)
	}
	return nil
}

// request returns one of the requests that customers send most, now and then a transfer.
func (h *hangUps) request() []byte {
	head := "GET " + readings[rand.IntN(len(readings))]
	body := ""
	if rand.IntN(hangUpsPerTransfer) == 0 {
		f := h.scenario.transfer(h.from, h.to, "0.01")
		h.mu.Lock()
		h.transfers = append(h.transfers, f)
		h.mu.Unlock()
		head = "POST /api/transfer/"
		body = fmt.Sprintf(`{"request_id":%q,"destination_account_number":%q,"amount":%q}`, f.key, f.to, f.amount)
	}
	return fmt.Appendf(nil, "%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		head, h.door, h.from.Token, len(body), body)
}

var readings = []string{"/api/account/statement/?limit=100", "/api/account/balance/", "/api/transfer/list/?limit=100", "/api/schema/account"}

// end waits until the last client has hung up, and asks for the outcomes of the transfers.
func (h *hangUps) end() {
	h.ended.Wait()
	var asking sync.WaitGroup
	waiting := make(chan *fact)
	for range clients {
		asking.Go(func() {
			for f := range waiting {
				h.scenario.insist(f)
			}
		})
	}
	for _, f := range h.transfers {
		waiting <- f
	}
	close(waiting)
	asking.Wait()
}

// neighbour is a customer who waits for every answer, beside clients that hang up. Every second round of requests uses new
// connections.
type neighbour struct {
	scenario *scenario
	stop     context.CancelFunc
	ended    sync.WaitGroup
	times    []time.Duration // until its answers
}

// bearable is how long one answer may take. A transfer may take as long as its driver has time, and is then answered 202.
const bearable = deadline + 3*time.Second

// neighbour lets a customer work until end.
func (s *scenario) neighbour(who, to *bank.Customer) *neighbour {
	ctx, stop := context.WithCancel(s.Context())
	n := &neighbour{scenario: s, stop: stop}
	stranger := *who // who connects anew each time
	stranger.Session = &client.Session{Client: client.New(who.URLs(), system.Contract.Transport(&http.Transport{DisableKeepAlives: true})), Token: who.Token, Number: who.Number, Name: who.Name}
	customers := []*bank.Customer{who, &stranger}
	requests := []struct {
		what string
		send func(ctx context.Context, who *bank.Customer) error
	}{
		{"balance", func(ctx context.Context, who *bank.Customer) error { _, err := who.Balance(ctx); return err }},
		{"statement", func(ctx context.Context, who *bank.Customer) error {
			_, err := who.Statement(ctx, client.Query{Limit: 100})
			return err
		}},
		{"transfers", func(ctx context.Context, who *bank.Customer) error {
			_, err := who.Transfers(ctx, client.Query{Limit: 100})
			return err
		}},
		{"transfer", func(ctx context.Context, who *bank.Customer) error {
			f := s.transfer(who, to, "0.01")
			receipt, err := f.send(ctx)
			if err == nil && receipt.TransferID == "" {
				err = errors.New("a receipt without an id")
			}
			return err
		}},
	}
	n.ended.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			request := requests[i%len(requests)]
			began := time.Now()
			err := request.send(context.WithoutCancel(ctx), customers[i/len(requests)%2])
			took := time.Since(began)
			if err != nil {
				s.violated("the %s of a neighbour: %v", request.what, err)
			}
			if took > bearable {
				s.violated("the %s of a neighbour took %s", request.what, took)
			}
			n.times = append(n.times, took)
			time.Sleep(20 * time.Millisecond)
		}
	})
	return n
}

// end stops the neighbour and says how long it waited.
func (n *neighbour) end() string {
	n.stop()
	n.ended.Wait()
	slices.Sort(n.times)
	if len(n.times) == 0 {
		n.scenario.violated("a neighbour got no answer")
		return ""
	}
	at := func(share float64) time.Duration {
		return n.times[int(share*float64(len(n.times)-1))].Round(time.Millisecond)
	}
	n.scenario.checked(len(n.times))
	return fmt.Sprintf("a neighbour: %d answers, half within %s, 99 of 100 within %s, all within %s", len(n.times), at(0.5), at(0.99), at(1))
}

// history gives a customer a statement and a list of transfers of more than one page, so that answers are long.
func (s *scenario) history(who, to *bank.Customer) {
	s.Helper()
	var all []*fact
	for range 60 {
		all = append(all, s.deposit(who, "1.00"), s.transfer(who, to, "0.01"))
	}
	for _, f := range all {
		s.launch(f)
	}
	for _, f := range all {
		s.insist(f)
	}
}

// alive returns the process ids of the system. An id changes if a process ends and somebody starts it again.
func alive() map[string]int {
	ids := map[string]int{}
	for _, p := range system.Processes() {
		ids[p.Name()] = p.PID()
	}
	return ids
}

// whileAlive waits until ctx ends or a process has ended. In the second case it calls stop, so that clients do not report what
// follows from that.
func (s *scenario) whileAlive(ctx context.Context, stop func()) {
	for ctx.Err() == nil && system.Crashed() == nil {
		time.Sleep(100 * time.Millisecond)
	}
	if ctx.Err() == nil {
		stop()
	}
}

// survived checks that every process is the one that it was.
func (s *scenario) survived(before map[string]int) {
	s.Helper()
	s.lives()
	for name, id := range alive() {
		if before[name] != id {
			s.violated("%s has ended and was started again: process %d became %d", name, before[name], id)
		}
	}
	s.checked(len(before))
}

// Row 17: clients hang up by the thousand, on readings and on transfers, while a neighbour behaves.
func hangingUp(s *scenario) {
	const crowd, least = 64, 1000 // clients, and how many connections they must have reset at each end for the row to count
	ana, bia := s.customer("Ana Dezessete", "10000.00"), s.customer("Bia Dezessete", "")
	caio := s.customer("Caio Dezessete", "10000.00")
	s.history(ana, bia)
	s.history(caio, bia)
	s.repeatLong(func(int) {
		s.freshSidecars()
		before := alive()
		n := s.neighbour(caio, bia)
		ctx, stop := context.WithTimeout(s.Context(), *hangUpsFlag)
		defer stop()
		h := s.hangUp(ctx, crowd, 0, ana, bia)
		s.whileAlive(ctx, func() { stop(); n.stop() })
		h.ended.Wait()
		told := n.end()
		s.survived(before)
		if s.Failed() {
			return
		}
		h.end()
		early, late := h.early.Load(), h.late.Load()
		s.note("%d connections were reset before an answer began, %d after its first byte; %d transfers among them", early, late, len(h.transfers))
		s.note("%s", told)
		if wanted := int64(float64(least) * min(1, hangUpsFlag.Seconds()/20)); early < wanted || late < wanted {
			s.Fatalf("only %d and %d connections were reset: that proves nothing", early, late)
		}
		s.checked(int(early + late))
	})
}
