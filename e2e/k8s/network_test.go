//go:build k8s

package k8s_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Where pods see this machine.
const host = "10.245.0.254"

// Each app reaches what it needs, and no more. A pod of the namespace that belongs to nothing, and a pod of another
// namespace, reach nothing of the system.
func TestNetworkPolicies(t *testing.T) {
	other := listen(t) // a server that no policy names
	at := map[string]string{}
	for _, app := range apps {
		at[app] = kubectl(t, "get", "pod", pods(t, app)[0], "-o", "jsonpath={.status.podIP}")
	}
	targets := map[string]string{ // by address
		at["ingress"] + ":8080": "the front door", at["ingress"] + ":50002": "ingress's sidecar", at["ingress"] + ":3501": "ingress's health",
		at["account-svc"] + ":8001": "account-svc", at["account-svc"] + ":50002": "account-svc's sidecar",
		at["transfer-svc"] + ":8002": "transfer-svc", at["transfer-svc"] + ":50002": "transfer-svc's sidecar",
		at["fee-svc"] + ":8003": "fee-svc", at["fee-svc"] + ":50002": "fee-svc's sidecar", at["fee-svc"] + ":9090": "fee-svc's metrics",
		host + ":15432": "PostgreSQL", host + ":16379": "Redis", host + ":19094": "Kafka",
		other: "another server", "10.96.0.1:443": "Kubernetes",
	}
	open := map[string][]string{
		"ingress":      {"account-svc's sidecar", "transfer-svc's sidecar", "fee-svc's sidecar"},
		"account-svc":  {"PostgreSQL", "Redis"},
		"transfer-svc": {"account-svc's sidecar", "PostgreSQL", "Redis", "Kafka"},
		"fee-svc":      {"account-svc's sidecar", "PostgreSQL", "Kafka"},

		// It is what the test overlay lets in, in place of a Gateway, and where the servers run.
		"this machine":         {"the front door", "PostgreSQL", "Redis", "Kafka", "another server", "Kubernetes"},
		"a pod without labels": nil,
		// Nothing keeps it from reaching what does not defend itself.
		"a pod of another namespace": {"PostgreSQL", "Redis", "Kafka", "another server", "Kubernetes"},
	}
	var addresses []string
	for address := range targets {
		addresses = append(addresses, address)
	}
	// check fails at once if somebody reaches what they must not. What they must reach, it tries for some minutes: on a busy machine a
	// connection may need longer than the prober waits.
	check := func(t *testing.T, who, own string, probe func() map[string]bool) {
		t.Helper()
		eventually(t, 3*time.Minute, func() error {
			found := probe()
			var errs []error
			for address, name := range targets {
				if own != "" && strings.HasPrefix(address, own+":") {
					continue
				}
				switch want := slices.Contains(open[who], name); {
				case found[address] && !want:
					t.Errorf("%s reaches %s", who, name)
				case !found[address] && want:
					errs = append(errs, fmt.Errorf("%s does not reach %s", who, name))
				}
			}
			return errors.Join(errs...)
		})
	}
	for _, app := range apps {
		t.Run(app, func(t *testing.T) {
			t.Parallel()
			check(t, app, at[app], func() map[string]bool { return probeFrom(t, pods(t, app)[0], addresses) })
		})
	}
	t.Run("this machine", func(t *testing.T) {
		t.Parallel()
		check(t, "this machine", "", func() map[string]bool { return dialled(addresses) })
	})
	t.Run("a pod without labels", func(t *testing.T) {
		t.Parallel()
		check(t, "a pod without labels", "", func() map[string]bool { return probeAlone(t, namespace, addresses) })
	})
	t.Run("a pod of another namespace", func(t *testing.T) {
		t.Parallel()
		check(t, "a pod of another namespace", "", func() map[string]bool { return probeAlone(t, "default", addresses) })
	})
}

// dialled says which addresses this machine reaches.
func dialled(addresses []string) map[string]bool {
	var all sync.WaitGroup
	var lock sync.Mutex
	found := map[string]bool{}
	for _, address := range addresses {
		all.Go(func() {
			conn, err := net.DialTimeout("tcp", address, 3*time.Second)
			if err != nil {
				return
			}
			_ = conn.Close()
			lock.Lock()
			defer lock.Unlock()
			found[address] = true
		})
	}
	all.Wait()
	return found
}

// listen opens a port of this machine that pods could reach, until the test ends.
func listen(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}

const prober = "bankmore/prober:test"

// probeFrom says which addresses a pod reaches, by a container that is added to it.
func probeFrom(t *testing.T, pod string, addresses []string) map[string]bool {
	t.Helper()
	container := fmt.Sprintf("probe-%d", time.Now().UnixMilli())
	kubectl(t, append([]string{"debug", "pod/" + pod, "--quiet", "--profile=restricted", "--image=" + prober,
		"--image-pull-policy=IfNotPresent", "--container=" + container, "--", "/prober"}, addresses...)...)
	return probed(t, addresses, "--namespace", namespace, "logs", pod, "-c", container)
}

// probeAlone says which addresses a pod of that namespace reaches that belongs to nothing.
func probeAlone(t *testing.T, namespace string, addresses []string) map[string]bool {
	t.Helper()
	name := fmt.Sprintf("probe-%d", time.Now().UnixMilli())
	kubectl(t, append([]string{"--namespace", namespace, "run", name, "--image=" + prober, "--image-pull-policy=IfNotPresent",
		"--restart=Never", "--override-type=strategic", "--overrides", `{"metadata": {"labels": null}, "spec": {
			"automountServiceAccountToken": false,
			"securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
			"containers": [{"name": "` + name + `", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}}`,
		// Network policies take hold of a pod some seconds after it has started.
		"--command", "--", "/prober", "-after=10s"}, addresses...)...)
	t.Cleanup(func() {
		_, _ = try(context.WithoutCancel(t.Context()), "", "--namespace", namespace, "delete", "pod", name, "--wait=false")
	})
	return probed(t, addresses, "--namespace", namespace, "logs", name)
}

// probed waits until a prober has tried every address, and says which were open.
func probed(t *testing.T, addresses []string, logs ...string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	eventually(t, 2*time.Minute, func() error {
		out, err := try(t.Context(), "", logs...)
		if err != nil {
			return err
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) < len(addresses) {
			return fmt.Errorf("%d of %d addresses are tried", len(lines), len(addresses))
		}
		for _, line := range lines {
			address, state, _ := strings.Cut(line, " ")
			found[address] = state == "open"
		}
		return nil
	})
	return found
}
