//go:build k8s

package k8s_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// addresses of one pod of each app, and of the backends.
func addresses(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{"backends": "10.245.0.254"}
	for _, app := range apps {
		all[app] = kubectl(t, "get", "pod", pods(t, app)[0], "-o", "jsonpath={.status.podIP}")
	}
	return all
}

// A pod that belongs to nothing reaches nothing of the system but the ingress; each app reaches what it needs, and no more.
func TestNetworkPolicies(t *testing.T) {
	at := addresses(t)
	targets := map[string]string{
		at["ingress"] + ":8080": "door", at["ingress"] + ":50002": "ingress's sidecar", at["ingress"] + ":3501": "ingress's health",
		at["account-svc"] + ":8001": "account-svc", at["account-svc"] + ":50002": "account-svc's sidecar",
		at["transfer-svc"] + ":8002": "transfer-svc", at["transfer-svc"] + ":50002": "transfer-svc's sidecar",
		at["fee-svc"] + ":8003": "fee-svc", at["fee-svc"] + ":50002": "fee-svc's sidecar", at["fee-svc"] + ":9090": "fee-svc's metrics",
		at["backends"] + ":15432": "postgresql", at["backends"] + ":16379": "redis", at["backends"] + ":19094": "kafka",
		at["backends"] + ":22": "another server", "10.96.0.1:443": "Kubernetes",
	}
	open := map[string][]string{
		"ingress":      {"account-svc's sidecar", "transfer-svc's sidecar", "fee-svc's sidecar"},
		"account-svc":  {"postgresql", "redis", "kafka"}, // the test's one policy for all three servers
		"transfer-svc": {"account-svc's sidecar", "postgresql", "redis", "kafka"},
		"fee-svc":      {"account-svc's sidecar", "postgresql", "redis", "kafka"},
	}
	var list []string
	for address := range targets {
		list = append(list, address)
	}
	for _, app := range apps {
		found := probe(t, pods(t, app)[0], list)
		for address, name := range targets {
			if strings.HasPrefix(address, at[app]+":") { // oneself
				continue
			}
			want := false
			for _, allowed := range open[app] {
				want = want || allowed == name
			}
			if found[address] != want {
				t.Errorf("%s reaches %s: %v, want %v", app, name, found[address], want)
			}
		}
	}
}

// probe says which addresses a pod reaches, from within its network, by a container that is added to it.
func probe(t *testing.T, pod string, list []string) map[string]bool {
	t.Helper()
	container := fmt.Sprintf("probe-%d", time.Now().UnixMilli())
	kubectl(t, append([]string{"debug", "pod/" + pod, "--quiet", "--profile=restricted", "--image=bankmore/prober:test",
		"--image-pull-policy=IfNotPresent", "--container=" + container, "--", "/prober"}, list...)...)
	found := map[string]bool{}
	eventually(t, 2*time.Minute, func() error {
		out, err := try(t.Context(), "", "logs", pod, "-c", container)
		if err != nil {
			return err
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) < len(list) {
			return fmt.Errorf("%s has tried %d of %d addresses", pod, len(lines), len(list))
		}
		for _, line := range lines {
			address, state, _ := strings.Cut(line, " ")
			found[address] = strings.HasPrefix(state, "open")
		}
		return nil
	})
	return found
}
