//go:build k8s

package k8s_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The API server takes every overlay as it is: no field that it does not know, and no warning, such as of a pod that the
// namespace's Pod Security Standard would not admit.
func TestOverlaysAreValid(t *testing.T) {
	for _, overlay := range []string{"dev", "production", "test"} {
		rendered := kubectl(t, "kustomize", "../../k8s/overlays/"+overlay)
		// Of a version of its own, or what a Job does would seem to change.
		rendered = strings.NewReplacer("-migrate-1.0.0", "-migrate-other", "-migrate-test", "-migrate-other").Replace(rendered)
		out, err := try(t.Context(), rendered, "apply", "--dry-run=server", "--validate=strict", "-f", "-")
		if err != nil || strings.Contains(out, "Warning") {
			t.Errorf("%s: %v\n%s", overlay, err, out)
		}
	}
}

// What everybody does first.
func TestDemo(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "../../scripts/k8s-smoke.sh")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("by a port-forward: %v\n%s", err, out)
	}
	cmd = exec.CommandContext(t.Context(), "../../scripts/k8s-smoke.sh")
	cmd.Env = append(os.Environ(), "BANKMORE_URL="+ingress(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("by the Service: %v\n%s", err, out)
	}
}

// An operator's command is a Job that says what the command says, and fails as it does.
func TestOperatorsCommands(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"verify"}, 0, "0 violations"},
		{[]string{"dead-letters"}, 0, "0 dead letters"},
		{[]string{"dead-letters", "replay", `no "position"`}, 2, "wrong usage"},
	} {
		cmd := exec.CommandContext(t.Context(), "../../scripts/k8s-ops.sh", test.args...)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != test.code || !strings.Contains(string(out), test.want) {
			t.Errorf("ops %q exits with %d, want %d:\n%s", test.args, code, test.code, out)
		}
	}
}
