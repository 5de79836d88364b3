//go:build k8s

package k8s_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/e2e/client"
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

// While customers work as documented (an answer that does not come, or is a 5xx, is asked for again with the same key),
// every app is replaced and pods are killed: nothing that was acknowledged is lost, and nobody is refused for good.
func TestNothingIsLostWhilePodsAreReplaced(t *testing.T) {
	w := startWork(t)
	for _, app := range apps {
		kubectl(t, "rollout", "restart", "deployment/"+app)
		rollout(t, app)
	}
	for _, app := range apps {
		kubectl(t, "delete", "pod", pods(t, app)[0], "--grace-period=0", "--force", "--wait=false")
		time.Sleep(5 * time.Second)
		rollout(t, app)
	}
	w.finish(t)
	t.Logf("%d transfers, %d requests repeated, %d answers of 5xx on the way", w.done.Load(), w.repeated.Load(), w.failed.Load())
}

// work is customers who pay each other without a break.
type work struct {
	stop                   context.CancelFunc
	all                    sync.WaitGroup
	done, repeated, failed atomic.Int64
	sessions               []*client.Session
	errors                 chan error
}

const customers, paid = 8, "1.00"

func startWork(t *testing.T) *work {
	t.Helper()
	c := client.New(client.OneDoor(ingress(t)), nil)
	w := &work{errors: make(chan error, customers)}
	for range customers {
		w.sessions = append(w.sessions, customer(t, c, "100000.00"))
	}
	ctx, stop := context.WithCancel(t.Context())
	w.stop = stop
	t.Cleanup(stop)
	for i := range customers {
		w.all.Go(func() {
			for ctx.Err() == nil {
				other := w.sessions[(i+1+rand.IntN(customers-1))%customers]
				if err := w.pay(t.Context(), w.sessions[i], other); err != nil {
					w.errors <- err
					return
				}
				w.done.Add(1)
			}
		})
	}
	return w
}

// pay transfers until the outcome is known, for as long as one may wait for a service.
func (w *work) pay(ctx context.Context, from, to *client.Session) error {
	key := uuid.NewString()
	deadline := time.Now().Add(2 * time.Minute)
	for attempt := 0; ; attempt++ {
		if attempt > 0 {
			w.repeated.Add(1)
			time.Sleep(time.Duration(min(attempt, 10)) * 200 * time.Millisecond)
		}
		receipt, err := from.Transfer(ctx, key, to.Number, paid)
		var failure *client.Failure
		switch {
		case err == nil && receipt.Status == "COMPLETED":
			return nil
		case err == nil: // 202: unfinished, and asked for again
		case errors.As(err, &failure) && failure.Status >= 500:
			w.failed.Add(1)
		case errors.As(err, &failure) && failure.Status != 409 && failure.Status != 408:
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("transfer %s is not completed after 2 minutes: status %q: %w", key, receipt.Status, err)
		}
	}
}

// finish waits for what is under way, and checks the books: the databases' own verify, and the money of these customers.
func (w *work) finish(t *testing.T) {
	t.Helper()
	w.stop()
	w.all.Wait()
	close(w.errors)
	for err := range w.errors {
		t.Error(err)
	}
	if w.done.Load() < customers {
		t.Errorf("only %d transfers", w.done.Load())
	}
	verify(t)
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
			if len(pods(t, app+"-alone")) == 1 {
				return nil
			}
			return errors.New("no pod of " + app + "-alone runs")
		})
	}
	for range 30 {
		for _, app := range apps {
			if ready := kubectl(t, "get", "deployment", app+"-alone", "-o", "jsonpath={.status.readyReplicas}"); ready != "" && ready != "0" {
				t.Fatalf("%s is ready without a sidecar", app)
			}
		}
		time.Sleep(time.Second)
	}
}
