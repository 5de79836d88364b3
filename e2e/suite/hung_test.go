package suite_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

// What a hung app may cost: the ingress waits 30 s for an answer to begin, a request for a transfer is answered 202
// after 8 s. The rest is for a machine that is busy.
const (
	ingressPatience  = 30*time.Second + 10*time.Second
	transferPatience = 8*time.Second + 6*time.Second
)

// No timeout policy in a sidecar bounds an app that hangs (docs/adr/0012); its callers do. A transfer whose ledger hangs is
// answered 202 in time, and the ingress answers every request in the API's form. When the callers have gone, no sidecar keeps
// anything of their requests, although the apps still hang.
func TestHungApps(t *testing.T) {
	const requests = 40 // at once, for each app
	ana, bia := system.NewCustomer(t, "Ana Espera", "1000.00"), system.NewCustomer(t, "Bia Espera", "")
	ana.Pay(t, bia, "1.00")
	system.Settle(t)
	before := goroutines(t)
	resume := func() {
		for _, id := range stack.Services {
			if err := system.Apps[id].Service.Resume(); err != nil {
				t.Error(err)
			}
		}
	}
	defer resume() // whatever happens

	pause(t, "fee-svc") // with events on their way
	const paid = 5
	for range paid {
		ana.Pay(t, bia, "1.00")
	}

	pause(t, "account-svc")
	inTime(t, requests, transferPatience, func() error {
		receipt, err := ana.Transfer(t.Context(), bank.Key(), bia.Number, "1.00")
		if err == nil && receipt.HTTPStatus != http.StatusAccepted {
			err = fmt.Errorf("status %d while the ledger hangs", receipt.HTTPStatus)
		}
		return err
	})

	pause(t, "transfer-svc")
	var all sync.WaitGroup
	for _, request := range []func() error{
		func() error { return unavailable(ana.Balance(t.Context())) },                   // whose sidecar knows by now that its app hangs
		func() error { return unavailable(ana.Transfers(t.Context(), client.Query{})) }, // whose sidecar does not
		func() error { return unavailable(ana.Fees(t.Context(), client.Query{})) },
	} {
		all.Go(func() { inTime(t, requests, ingressPatience, request) })
	}
	all.Wait()
	// Those who have waited are gone. What a sidecar keeps for a request is more than one goroutine.
	bank.Eventually(t, 20*time.Second, func() error {
		for id, now := range goroutines(t) {
			if now > before[id]+requests/2 {
				return fmt.Errorf("the sidecar of %s has %d goroutines, %d before", id, now, before[id])
			}
		}
		return nil
	})

	resume()
	waitOpen(t)
	system.Settle(t)
	bia.WaitBalance(t, strconv.Itoa(1+paid+requests)+".00")
	ana.WaitBalance(t, strconv.Itoa(1000-3*(1+paid+requests))+".00") // with the fees, whose events waited for fee-svc
	system.CheckBooks(t)
}

func pause(t *testing.T, id string) {
	t.Helper()
	if err := system.Apps[id].Service.Pause(); err != nil {
		t.Fatal(err)
	}
}

// inTime makes requests at once, each of which must succeed within limit.
func inTime(t *testing.T, requests int, limit time.Duration, request func() error) {
	t.Helper()
	var all sync.WaitGroup
	for range requests {
		all.Go(func() {
			began := time.Now()
			if err := request(); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > limit {
				t.Errorf("an answer took %s", took)
			}
		})
	}
	all.Wait()
}

// unavailable checks that an app could not be reached, and that the answer is one of ours.
func unavailable(_ any, err error) error {
	var failure *client.Failure
	if !errors.As(err, &failure) {
		return fmt.Errorf("no answer of the ingress: %w", err)
	}
	if problem := bank.UnlikeFailure(err, http.StatusServiceUnavailable, "INTERNAL_ERROR"); problem != "" {
		return errors.New(problem)
	}
	if failure.Header.Get("X-Request-ID") == "" {
		return errors.New("an answer without X-Request-ID")
	}
	return nil
}

var goroutinesMetric = regexp.MustCompile(`(?m)^go_goroutines (\d+)$`)

// goroutines is how many each sidecar has.
func goroutines(t *testing.T) map[string]int {
	t.Helper()
	all := map[string]int{}
	for id, app := range system.Apps {
		text, err := bank.Fetch(context.WithoutCancel(t.Context()), app.Metrics+"/metrics")
		if err != nil {
			t.Fatal(err)
		}
		found := goroutinesMetric.FindSubmatch(text)
		if found == nil {
			t.Fatalf("the sidecar of %s does not say how many goroutines it has", id)
		}
		if all[id], err = strconv.Atoi(string(found[1])); err != nil {
			t.Fatal(err)
		}
	}
	return all
}
