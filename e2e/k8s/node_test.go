//go:build k8s

package k8s_test

import (
	"fmt"
	"os/exec"
	"testing"
)

// A program of the node that is killed takes no container with it, and once it is back the cluster does what it is asked to.
func TestNodeProgramsAreKilled(t *testing.T) {
	w := startWork(t)
	before := map[string]string{}
	for _, app := range apps {
		before[app] = state(t, app, ".containerID")
	}
	for _, program := range []string{"kubelet", "containerd"} {
		if out, err := exec.CommandContext(t.Context(), "../../.ci/k8s", "restart", program).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", program, err, out)
		}
	}
	for _, app := range apps {
		rollout(t, app)
		if after := state(t, app, ".containerID"); after != before[app] {
			t.Errorf("%s has the containers %s, and had %s", app, after, before[app])
		}
	}
	kubectl(t, "delete", "pod", pods(t, "account-svc")[0], "--wait=false")
	eventually(t, patience, func() error {
		if all := pods(t, "account-svc"); len(all) < 2 {
			return fmt.Errorf("account-svc has the pods %q, after one was deleted", all)
		}
		return nil
	})
	rollout(t, "account-svc")
	w.finish(t)
}
