package suite_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

// start starts a process again and waits until the system is whole.
func start(t *testing.T, p stack.Server) {
	t.Helper()
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitOpen(t)
}

// traffic is customers who pay each other. They repeat a request with the same key until they know its outcome.
type traffic struct {
	customers []bank.Customer
	stop      context.CancelFunc
	ended     sync.WaitGroup

	mu       sync.Mutex
	receipts map[string]client.Receipt // by request id
	failures int                       // answers that left the outcome unknown
}

// maxUnknown is how long a client keeps asking.
const maxUnknown = 90 * time.Second

func newTraffic(t *testing.T) *traffic {
	t.Helper()
	tr := &traffic{receipts: map[string]client.Receipt{}}
	for i := range 4 {
		tr.customers = append(tr.customers, system.NewCustomer(t, fmt.Sprintf("Cliente %d", i+1), "10000.00"))
	}
	ctx, stop := context.WithCancel(t.Context())
	tr.stop = stop
	for range 8 {
		tr.ended.Go(func() {
			for ctx.Err() == nil {
				tr.payOnce(t)
			}
		})
	}
	return tr
}

func (tr *traffic) payOnce(t *testing.T) {
	from := rand.IntN(len(tr.customers))
	to := (from + 1 + rand.IntN(len(tr.customers)-1)) % len(tr.customers)
	requestID := bank.Key()
	for deadline := time.Now().Add(maxUnknown); ; time.Sleep(100 * time.Millisecond) {
		receipt, err := tr.customers[from].Transfer(t.Context(), requestID, tr.customers[to].Number, "1.00")
		if err == nil {
			tr.mu.Lock()
			tr.receipts[requestID] = receipt
			tr.mu.Unlock()
			return
		}
		var failure *client.Failure
		if errors.As(err, &failure) && failure.Status < 500 && failure.Status != http.StatusConflict {
			t.Errorf("a payment was refused: %v", err)
			return
		}
		tr.mu.Lock()
		tr.failures++
		tr.mu.Unlock()
		if time.Now().After(deadline) {
			t.Errorf("no outcome of a payment after %s: %v", maxUnknown, err)
			return
		}
	}
}

// flow lets traffic flow for a while, which must bring payments through.
func (tr *traffic) flow(t *testing.T, what string) {
	t.Helper()
	count := func() int {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return len(tr.receipts)
	}
	before := count()
	bank.Eventually(t, 30*time.Second, func() error {
		if n := count() - before; n < 20 {
			return fmt.Errorf("%s: only %d payments came through", what, n)
		}
		return nil
	})
}

// end stops the traffic and checks that every payment that was acknowledged is there, once, and came to its end.
func (tr *traffic) end(t *testing.T) {
	t.Helper()
	tr.stop()
	tr.ended.Wait()
	system.Settle(t)
	seen := map[string]client.Transfer{}
	for _, p := range tr.customers {
		list, err := client.All(t.Context(), 100, p.Transfers)
		if err != nil {
			t.Fatal(err)
		}
		for _, transfer := range list {
			if transfer.OriginAccountNumber != p.Number {
				continue
			}
			if _, twice := seen[transfer.RequestID]; twice {
				t.Errorf("request %s has two transfers", transfer.RequestID)
			}
			seen[transfer.RequestID] = transfer
		}
	}
	for requestID, receipt := range tr.receipts {
		if transfer := seen[requestID]; transfer.ID != receipt.TransferID || transfer.Status != client.Completed {
			t.Errorf("acknowledged %+v, found %+v", receipt, transfer)
		}
	}
	if len(seen) != len(tr.receipts) {
		t.Errorf("%d payments acknowledged, %d transfers", len(tr.receipts), len(seen))
	}
	t.Logf("%d payments, %d answers that told nothing", len(tr.receipts), tr.failures)
	system.CheckBooks(t)
}

// Each service is killed under load and started again. Every transfer comes to its end.
func TestKillUnderLoad(t *testing.T) {
	tr := newTraffic(t)
	tr.flow(t, "at first")
	for _, id := range []string{"transfer-svc", "account-svc", "fee-svc"} {
		p := system.Apps[id].Service
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond) // others meet its absence
		start(t, p)
		tr.flow(t, "after the kill of "+id)
	}
	tr.end(t)
}

// Each sidecar is killed and started again. Its app and its callers recover without a restart of their own.
func TestSidecarKilled(t *testing.T) {
	tr := newTraffic(t)
	tr.flow(t, "at first")
	for _, id := range append([]string{stack.Ingress}, stack.Services...) {
		p := system.Apps[id].Sidecar
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		start(t, p)
		tr.flow(t, "after the kill of the sidecar of "+id)
	}
	tr.end(t)
}

// A request in flight when its service gets SIGTERM is answered.
func TestShutdownAnswersWhatIsInFlight(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Voo", "100.00"), system.NewCustomer(t, "Bia Voo", "")
	ledger, transfers := system.Apps["account-svc"].Service, system.Apps["transfer-svc"]
	direct := ana.Through(client.URLs{Transfer: transfers.URL, Account: system.URL(), Fee: system.URL()})
	if err := ledger.Pause(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ledger.Resume() }() // whatever happens
	type result struct {
		receipt client.Receipt
		err     error
	}
	answer := make(chan result, 1)
	go func() {
		receipt, err := direct.Transfer(t.Context(), bank.Key(), bia.Number, "10.00")
		answer <- result{receipt, err}
	}()
	bank.Eventually(t, 20*time.Second, func() error { // until it waits for the ledger
		page, err := ana.Transfers(t.Context(), client.Query{})
		if err == nil && len(page.Items) != 1 {
			err = fmt.Errorf("%d transfers", len(page.Items))
		}
		return err
	})
	terminated := make(chan error, 1)
	go func() { terminated <- transfers.Service.Terminate() }()
	time.Sleep(500 * time.Millisecond)
	if err := ledger.Resume(); err != nil {
		t.Fatal(err)
	}
	if got := <-answer; got.err != nil || got.receipt.Status != client.Completed {
		t.Errorf("in flight: %+v, %v", got.receipt, got.err)
	}
	if err := <-terminated; err != nil {
		t.Error(err)
	}
	start(t, transfers.Service)
	bia.WantBalance(t, "10.00")
	system.CheckBooks(t)
}

// Everything is stopped and started again. Balances, statements, tokens and remembered answers are as before.
func TestStateSurvives(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Volta", "100.00"), system.NewCustomer(t, "Bia Volta", "")
	requestID := bank.Key()
	paid, err := ana.Transfer(t.Context(), requestID, bia.Number, "10.00")
	if err != nil {
		t.Fatal(err)
	}
	ana.WaitBalance(t, "88.00")
	statement, err := ana.Statement(t.Context(), client.Query{})
	if err != nil {
		t.Fatal(err)
	}
	system.Settle(t)
	if err := errors.Join(system.StopAll(), system.StartAll(t.Context())); err != nil {
		t.Fatal(err)
	}
	ana.WantBalance(t, "88.00") // with the token from before
	bia.WantBalance(t, "10.00")
	after, err := ana.Statement(t.Context(), client.Query{})
	if err != nil || fmt.Sprint(after) != fmt.Sprint(statement) {
		t.Errorf("statement %+v, was %+v; %v", after, statement, err)
	}
	again, err := ana.Transfer(t.Context(), requestID, bia.Number, "10.00")
	paid.Replayed = true
	if err != nil || again != paid {
		t.Errorf("the same request: %+v, %v, want %+v", again, err, paid)
	}
	ana.Pay(t, bia, "10.00")
	ana.WaitBalance(t, "76.00")
	system.CheckBooks(t)
}
