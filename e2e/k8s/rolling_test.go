//go:build k8s

package k8s_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/client"
)

// Apps begin with two pods, each with its sidecar.
func TestEverythingIsThereTwice(t *testing.T) {
	for _, app := range apps {
		all := pods(t, app)
		if len(all) != 2 {
			t.Errorf("%s has the pods %q, want two", app, all)
		}
		for _, pod := range all {
			names := strings.Fields(kubectl(t, "get", "pod", pod, "-o", `jsonpath={.spec.initContainers[*].name} {.spec.containers[*].name}`))
			if len(names) != 2 || names[0] != "daprd" || names[1] != "app" {
				t.Errorf("%s has the containers %q", pod, names)
			}
			if mounts := kubectl(t, "get", "pod", pod, "-o", `jsonpath={.spec.containers[*].volumeMounts[*].mountPath}`); strings.Contains(mounts, "serviceaccount") {
				t.Errorf("the app of %s has a token: %s", pod, mounts)
			}
		}
	}
}

// Customers work as documented: a request without an answer, or with a 5xx, is sent again with the same key, and so is one
// whose answer was 202. While all apps are restarted, until their old pods are gone, no request fails. While pods are killed,
// some do. In the end nothing that was acknowledged is lost.
func TestNothingIsLostWhilePodsAreReplaced(t *testing.T) {
	w := startWork(t)
	kubectl(t, "rollout", "restart", "deployment")
	for _, app := range apps {
		rollout(t, app)
	}
	oldPodsEnd(t)
	w.noneFailed(t)
	for _, app := range apps {
		kubectl(t, "delete", "pod", pods(t, app)[0], "--grace-period=0", "--force", "--wait=false")
		time.Sleep(5 * time.Second)
		rollout(t, app)
	}
	w.finish(t)
}

// oldPodsEnd waits until no pod of an app is about to end any more.
func oldPodsEnd(t *testing.T) {
	t.Helper()
	eventually(t, patience, func() error {
		ending := kubectl(t, "get", "pods", "-l", "app.kubernetes.io/component in (service, ingress)",
			"-o", `go-template={{range .items}}{{if .metadata.deletionTimestamp}}{{.metadata.name}} {{end}}{{end}}`)
		if ending != "" {
			return fmt.Errorf("these pods are still about to end: %s", ending)
		}
		return nil
	})
}

// work is customers who pay each other, each four times a second at most.
type work struct {
	stop   context.CancelFunc
	all    sync.WaitGroup
	payers []*payer
	made   atomic.Int64 // payments
	later  atomic.Int64 // payments that were accepted with 202, and ended after their first answer
	failed atomic.Int64 // requests
	first  atomic.Value // why the first request failed, a string
}

type payer struct {
	*client.Session

	paid     []payment // that were acknowledged
	received atomic.Int64
	err      error
}

type payment struct{ key, to, id string }

// Of each payment and of each customer's deposit, in whole units of money, and of the fee for a payment.
const customers, deposit, paid, fee = 8, 100_000, 1, 2

const pause = 250 * time.Millisecond

func startWork(t *testing.T) *work {
	t.Helper()
	c := client.New(client.Ingress(ingress(t)), nil)
	w := new(work)
	for range customers {
		w.payers = append(w.payers, &payer{Session: customer(t, c, fmt.Sprintf("%d.00", deposit))})
	}
	ctx, stop := context.WithCancel(t.Context())
	w.stop = stop
	t.Cleanup(stop)
	for i, p := range w.payers {
		w.all.Go(func() {
			for ctx.Err() == nil && p.err == nil {
				other := w.payers[(i+1+rand.IntN(customers-1))%customers]
				p.err = w.pay(t.Context(), p, other)
				time.Sleep(pause)
			}
		})
	}
	return w
}

// pay transfers until the outcome is known, for as long as one may wait for a service.
func (w *work) pay(ctx context.Context, from, to *payer) error {
	key := uuid.NewString()
	deadline := time.Now().Add(2 * time.Minute)
	unfinished := false
	for attempt := 0; ; attempt++ {
		receipt, err := from.Transfer(ctx, key, to.Number, fmt.Sprintf("%d.00", paid))
		if err == nil && receipt.Status == client.Completed {
			from.paid = append(from.paid, payment{key, to.Number, receipt.TransferID})
			to.received.Add(1)
			w.made.Add(1)
			if unfinished {
				w.later.Add(1)
			}
			return nil
		}
		if err == nil { // 202
			unfinished = true
			err = fmt.Errorf("status %s", receipt.Status)
		} else {
			w.failed.Add(1)
			w.first.CompareAndSwap(nil, err.Error())
		}
		err = fmt.Errorf("transfer %s: %w", key, err)
		failure := new(client.Failure)
		if errors.As(err, &failure) && failure.Status < 500 && failure.Status != http.StatusConflict && failure.Status != http.StatusRequestTimeout {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after 2 minutes: %w", err)
		}
		time.Sleep(time.Duration(min(attempt+1, 10)) * 200 * time.Millisecond)
	}
}

// noneFailed reports an error if a request has failed, or if one payment in twenty was accepted with 202 and ended later. Some
// are: a node of two cores that starts eight pods at once has no time for customers now and then, and a request waits for its
// transfer 8 s at most.
func (w *work) noneFailed(t *testing.T) {
	t.Helper()
	if n := w.failed.Load(); n > 0 {
		t.Errorf("%d requests failed, such as: %v", n, w.first.Load())
	}
	if later, made := w.later.Load(), w.made.Load(); later*20 > made {
		t.Errorf("%d of %d payments were accepted with 202", later, made)
	}
}

// finish waits for what is under way, and checks the books: the system's own verify, each customer's balance, and that each
// acknowledged payment is what it was said to be.
func (w *work) finish(t *testing.T) {
	t.Helper()
	w.stop()
	w.all.Wait()
	total := 0
	for _, p := range w.payers {
		if p.err != nil {
			t.Error(p.err)
		}
		total += len(p.paid)
	}
	if t.Failed() {
		return
	}
	t.Logf("%d payments, %d of them accepted with 202 first; %d requests failed, the first with: %v",
		total, w.later.Load(), w.failed.Load(), w.first.Load())
	if total < 20*customers {
		t.Errorf("only %d payments: they prove little", total)
	}
	verify(t)
	for _, p := range w.payers {
		want := fmt.Sprintf("%d.00", deposit-len(p.paid)*(paid+fee)+int(p.received.Load())*paid)
		if balance, err := p.Balance(t.Context()); err != nil || balance != want {
			t.Errorf("after %d payments sent and %d received: balance %s (%v), want %s", len(p.paid), p.received.Load(), balance, err, want)
		}
		w.all.Go(func() {
			for _, payment := range p.paid {
				again, err := p.Transfer(t.Context(), payment.key, payment.to, fmt.Sprintf("%d.00", paid))
				if err != nil || again.TransferID != payment.id || again.Status != client.Completed || !again.Replayed {
					t.Errorf("payment %+v, asked for again: %+v, %v", payment, again, err)
					return
				}
			}
		})
	}
	w.all.Wait()
}

// verify has the system's own checks pass at rest, by the CronJob that operators have and by ops.
func verify(t *testing.T) {
	t.Helper()
	eventually(t, 2*time.Minute, func() error {
		out, err := exec.CommandContext(t.Context(), "go", "run", "../../ops", "verify", "-at-rest").CombinedOutput()
		if err != nil {
			return errors.New(string(out))
		}
		return nil
	})
	name := "verify-" + uuid.NewString()[:8]
	kubectl(t, "create", "job", name, "--from=cronjob/verify")
	kubectl(t, "wait", "job/"+name, "--for=condition=Complete", "--timeout=3m")
}

// A pod that Dapr's injector has missed is never ready, and takes nothing away from those that are.
func TestPodWithoutSidecarIsNeverReady(t *testing.T) {
	for _, app := range apps {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", `kubectl --namespace `+namespace+` get deployment `+app+` -o json |
			kubectl patch --local -f - --type json -o json -p '[
				{"op": "replace", "path": "/metadata/name", "value": "`+app+`-alone"},
				{"op": "replace", "path": "/spec/replicas", "value": 1},
				{"op": "replace", "path": "/spec/selector/matchLabels", "value": {"app.kubernetes.io/name": "`+app+`-alone"}},
				{"op": "replace", "path": "/spec/template/metadata/labels/app.kubernetes.io~1name", "value": "`+app+`-alone"},
				{"op": "replace", "path": "/spec/template/metadata/annotations/dapr.io~1enabled", "value": "false"},
				{"op": "remove", "path": "/metadata/resourceVersion"}, {"op": "remove", "path": "/metadata/uid"}]' |
			kubectl --namespace `+namespace+` create -f -`).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		t.Cleanup(func() {
			_, _ = try(context.WithoutCancel(t.Context()), "", "delete", "deployment", app+"-alone", "--wait=false")
		})
		eventually(t, time.Minute, func() error {
			if started := state(t, app+"-alone", ".started"); started != "true" {
				return fmt.Errorf("the app of %s-alone has started: %q", app, started)
			}
			return nil
		})
	}
	for range 20 {
		for _, app := range apps {
			if restarts := state(t, app+"-alone", ".restartCount"); restarts != "0" {
				t.Fatalf("%s has restarted %s times without a sidecar", app, restarts)
			}
			if ready := kubectl(t, "get", "deployment", app+"-alone", "-o", "jsonpath={.status.readyReplicas}"); ready != "" && ready != "0" {
				t.Fatalf("%s is ready without a sidecar", app)
			}
		}
		time.Sleep(time.Second)
	}
}

// state is a field of the status of an app's containers, separated by blanks, in its pods that are not about to end.
func state(t *testing.T, app, field string) string {
	t.Helper()
	return kubectl(t, "get", "pods", "-l", "app.kubernetes.io/name="+app, "--field-selector", "status.phase=Running",
		"-o", "go-template={{range .items}}{{if not .metadata.deletionTimestamp}}"+
			"{{range .status.initContainerStatuses}}{{"+field+"}} {{end}}{{range .status.containerStatuses}}{{"+field+"}} {{end}}{{end}}{{end}}")
}
