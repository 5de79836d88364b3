package suite_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

// Each server is stopped and started in turn, while customers pay and the demo runs in a loop. Nobody gets an answer worse than
// 503, payments come through again within 30 s, and the books are right in the end.
func serversRestart(t *testing.T) {
	tr := newTraffic(t)
	demo := newDemoLoop(t)
	tr.flow(t, "at first")
	demo.succeeds(t, "at first")
	for _, name := range []string{"postgres", "redis", "kafka"} {
		server := servers().Server(name)
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // others meet its absence
		start(t, server)
		tr.flow(t, "after the restart of "+name)
		demo.succeeds(t, "after the restart of "+name)
	}
	demo.end(t)
	tr.end(t)
}

// demoLoop runs scripts/demo.sh again and again.
type demoLoop struct {
	stop  context.CancelFunc
	ended sync.WaitGroup

	mu             sync.Mutex
	passed, failed int
}

var worseThan503 = regexp.MustCompile(`.*HTTP 5(0[0-24-9]|[1-9]\d).*`)

func newDemoLoop(t *testing.T) *demoLoop {
	ctx, stop := context.WithCancel(t.Context())
	d := &demoLoop{stop: stop}
	script := filepath.Join(root(t), "scripts", "demo.sh")
	d.ended.Go(func() {
		for ctx.Err() == nil {
			demo := exec.Command("bash", script)
			demo.Env = append(demo.Environ(), "BANKMORE_URL="+system.URL(), "BANKMORE_CLI="+filepath.Join(system.Bin, "bankmore"))
			out, err := demo.CombinedOutput()
			if worse := worseThan503.Find(out); worse != nil {
				t.Errorf("the demo was answered: %s", worse)
			}
			d.mu.Lock()
			if err == nil {
				d.passed++
			} else {
				d.failed++
			}
			d.mu.Unlock()
		}
	})
	return d
}

// succeeds waits until the demo, begun from now on, has run to its end.
func (d *demoLoop) succeeds(t *testing.T, when string) {
	t.Helper()
	count := func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.passed
	}
	before := count()
	bank.Eventually(t, 2*time.Minute, func() error { // flow checks that payments come through soon; a demo may wait 33 s for its fee
		if count() < before+2 { // the first may have begun earlier
			return fmt.Errorf("%s: the demo does not succeed", when)
		}
		return nil
	})
}

func (d *demoLoop) end(t *testing.T) {
	t.Helper()
	d.stop()
	d.ended.Wait()
	t.Logf("the demo succeeded %d times and was interrupted %d times", d.passed, d.failed)
}

// Redis, which is state store and cache, does not answer, or is stopped. Every request is answered correctly, within the usual time
// and a small bounded wait.
func redisAway(t *testing.T) {
	ana, bia := system.NewCustomer(t, "Ana Cache", "1000.00"), system.NewCustomer(t, "Bia Cache", "")
	const n = 100
	paid := 0 // cents
	measure := func(what string) (took map[string][]time.Duration, total time.Duration) {
		took, start := map[string][]time.Duration{}, time.Now()
		for range n {
			began := time.Now()
			got, err := bia.Balance(t.Context())
			took["balance"] = append(took["balance"], time.Since(began))
			if want := fmt.Sprintf("%d.%02d", paid/100, paid%100); err != nil || got != want {
				t.Errorf("%s: the balance is %s, want %s (%v)", what, got, want, err)
			}
			began = time.Now()
			ana.Pay(t, bia, "0.01")
			took["transfer"] = append(took["transfer"], time.Since(began))
			paid++
		}
		total = time.Since(start)
		for name, all := range took {
			slices.Sort(all)
			t.Logf("%s: %s: median %s, 90th of 100 %s, slowest %s", what, name, all[n/2].Round(100*time.Microsecond),
				all[n*9/10].Round(100*time.Microsecond), all[n-1].Round(100*time.Microsecond))
		}
		return took, total
	}
	usual, _ := measure("with Redis")
	// A request may wait for the cache of account-svc (100 ms), but few requests do: the cache leaves Redis alone for a second
	// when it has waited in vain. No first request waits for the memory.
	const wait, noise = 100 * time.Millisecond, 50 * time.Millisecond
	late := func(what string) error {
		took, total := measure(what)
		waits := int(total.Seconds()) + 1
		var errs []error
		for name, all := range took {
			if limit := usual[name][n-1] + wait + noise; all[n-1] > limit {
				errs = append(errs, fmt.Errorf("%s: %s: the slowest takes %s, longer than %s", what, name, all[n-1], limit))
			}
			limit := usual[name][n-1] + noise
			if slow := n - sort.Search(n, func(i int) bool { return all[i] > limit }); slow > waits {
				errs = append(errs, fmt.Errorf("%s: %s: %d take longer than %s, more than the %d that may wait within %s", what, name, slow, limit, waits, total))
			}
		}
		return errors.Join(errs...)
	}
	// A machine that stalls makes requests of one measurement late. What Redis makes late is late in each.
	without := func(what string) {
		err := late(what)
		for again := 0; err != nil && again < 2; again++ {
			t.Logf("measured again, since %v", err)
			err = late(what)
		}
		if err != nil {
			t.Error(err)
		}
	}
	server := servers().Server("redis")
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	without("Redis is silent")
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	measure("Redis goes on")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	without("Redis is stopped")
	start(t, server)
	measure("with Redis again")
	system.CheckBooks(t)
}

// Every service has two replicas, and one is killed. Its partitions, leases and names move to the other.
func replicas(t *testing.T) {
	tr := newTraffic(t)
	tr.flow(t, "with one replica")
	var second []*stack.App
	defer func() { retire(t, second...) }()
	for _, id := range stack.Services {
		app, err := system.Replicate(t.Context(), id)
		if app != nil {
			second = append(second, app)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	bank.Eventually(t, 30*time.Second, func() error { return sharedBy(t, 2) })
	tr.flow(t, "with two replicas")
	for _, app := range second {
		// First the service, as a crash, then its sidecar, as a deployment.
		if err := app.Service.Kill(); err != nil {
			t.Fatal(err)
		}
		tr.flow(t, "without the second "+app.ID)
		if err := app.Sidecar.Terminate(); err != nil {
			t.Fatal(err)
		}
		tr.flow(t, "without the second sidecar of "+app.ID)
	}
	bank.Eventually(t, 60*time.Second, func() error { return sharedBy(t, 1) })
	tr.end(t)
}

// retire ends replicas, and waits until no sidecar sends requests to them any more.
func retire(t *testing.T, replicas ...*stack.App) {
	t.Helper()
	if err := system.Retire(replicas...); err != nil {
		t.Error(err)
	}
	time.Sleep(stack.AddressLife)
}

// sharedBy returns an error unless that many replicas of fee-svc share the partitions.
func sharedBy(t *testing.T, replicas int) error {
	t.Helper()
	groups, err := kadm.NewClient(system.Kafka(t)).DescribeGroups(t.Context(), "fee-svc")
	if err != nil {
		return err
	}
	members, partitions := groups["fee-svc"].Members, 0
	for _, m := range members {
		assigned, ok := m.Assigned.AsConsumer()
		if !ok || len(assigned.Topics) == 0 {
			return errors.New("a replica has no partition")
		}
		partitions += len(assigned.Topics[0].Partitions)
	}
	if len(members) != replicas || partitions != 12 {
		return fmt.Errorf("%d replicas share %d partitions", len(members), partitions)
	}
	return nil
}

// servers is the profile of the tests that only it has.
func servers() *stack.ServersProfile { return system.Profile.(*stack.ServersProfile) }
