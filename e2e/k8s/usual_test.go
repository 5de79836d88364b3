//go:build k8s

package k8s_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/e2e/stack"
	"github.com/bankmore/bankmore/launcher/build"
)

// The API server takes every overlay, and production with each optional component: no field that it does not know, and no
// warning, such as of a pod that the namespace's Pod Security Standard would not admit. They go to a namespace of another
// name, so that they meet nothing that exists. (The overlay "test" is what all other tests run on.)
func TestOverlaysAreValid(t *testing.T) {
	const elsewhere = "bankmore-elsewhere"
	makeNamespace(t, elsewhere)
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "../../scripts/render-k8s.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		if filepath.Base(file) == "test.yaml" {
			continue
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var known []string
		for _, document := range strings.Split(string(raw), "\n---\n") {
			if !foreign.MatchString(document) {
				known = append(known, movedTo(document, elsewhere))
			}
		}
		out, err := try(t.Context(), strings.Join(known, "\n---\n"), "--namespace", elsewhere, "apply", "--dry-run=server", "--validate=strict", "-f", "-")
		for line := range strings.Lines(out) {
			// The name of a migration's Job has the version in it, dots and all.
			if strings.Contains(line, "Warning") && !strings.Contains(line, "a DNS label is recommended: [must not contain dots]") {
				t.Errorf("%s: %s", filepath.Base(file), line)
			}
		}
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
}

// ownNamespace is wherever the namespace's name stands in a manifest. Foreign is of operators that this cluster has none of.
var (
	ownNamespace = regexp.MustCompile(`(?m)^(\s*(?:- )?(?:namespace|name): )bankmore$`)
	foreign      = regexp.MustCompile(`(?m)^apiVersion: (keda\.sh|external-secrets\.io|generators\.external-secrets\.io|monitoring\.coreos\.com)/`)
)

// movedTo is a manifest for another namespace.
func movedTo(manifest, namespace string) string {
	return ownNamespace.ReplaceAllString(manifest, "${1}"+namespace)
}

// makeNamespace makes one like that of the system, until the test ends.
func makeNamespace(t *testing.T, name string) {
	t.Helper()
	raw, err := os.ReadFile("../../k8s/base/namespace.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := try(t.Context(), movedTo(string(raw), name), "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = try(context.WithoutCancel(t.Context()), "", "delete", "namespace", name, "--wait=false")
	})
}

// The development overlay draws every Secret that its pods name, once: applied again, it changes none.
func TestDevelopmentOverlayDrawsItsSecrets(t *testing.T) {
	const elsewhere = "bankmore-secrets"
	makeNamespace(t, elsewhere)
	var parts []string
	secrets := map[string]bool{}
	for _, document := range strings.Split(kubectl(t, "kustomize", "../../k8s/overlays/dev"), "\n---\n") {
		if !strings.Contains(document, "\nkind: Component\n") { // Dapr's, whose secrets are variables
			for _, match := range secretName.FindAllStringSubmatch(document, -1) {
				secrets[match[1]] = true
			}
		}
		if ofSecrets.MatchString(document) {
			parts = append(parts, strings.ReplaceAll(movedTo(document, elsewhere), "image: bankmore/ops:dev", "image: bankmore/ops:test"))
		}
	}
	if len(parts) != 8 || len(secrets) < 10 {
		t.Fatalf("%d parts, %d secrets", len(parts), len(secrets))
	}
	drawn := func() string {
		if _, err := try(t.Context(), strings.Join(parts, "\n---\n"), "--namespace", elsewhere, "apply", "-f", "-"); err != nil {
			t.Fatal(err)
		}
		kubectl(t, "--namespace", elsewhere, "wait", "job/create-secrets", "--for=condition=Complete", "--timeout=2m")
		kubectl(t, "--namespace", elsewhere, "delete", "job", "create-secrets")
		return kubectl(t, "--namespace", elsewhere, "get", "secrets", "-o", `jsonpath={range .items[*]}{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`)
	}
	first := drawn()
	for name := range secrets {
		if !strings.Contains("\n"+first, "\n"+name+" ") {
			t.Errorf("there is no Secret %s", name)
		}
	}
	account := "--as=system:serviceaccount:" + elsewhere + ":create-secrets"
	if can, _ := try(t.Context(), "", "--namespace", elsewhere, "auth", "can-i", "get", "secret/jwt", account); strings.TrimSpace(can) != "no" {
		t.Errorf("the Job's account may read a Secret that it has made: %s", can)
	}
	if second := drawn(); second != first {
		t.Errorf("the second time changed\n%s\nto\n%s", first, second)
	}
}

// What pods say of a Secret, and what the development overlay draws its Secrets with.
var (
	secretName = regexp.MustCompile(`(?:secretKeyRef:\n\s+key: \S+\n|secretRef:\n)\s+name: (\S+)`)
	ofSecrets  = regexp.MustCompile(`(?m)^  name: (create-secrets|secret-templates-\w+|default-deny|dns)$`)
)

// What everybody does first.
func TestDemo(t *testing.T) {
	root, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	client := filepath.Join(t.TempDir(), "bankmore")
	if out, err := build.Command(t.Context(), root, "-o", client, "./cli/bankmore").CombinedOutput(); err != nil {
		t.Fatalf("building the command-line client: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "../../scripts/k8s-smoke.sh")
	cmd.Env = append(os.Environ(), "BANKMORE_CLI="+client)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("by a port-forward: %v\n%s", err, out)
	}
	cmd = exec.CommandContext(t.Context(), "../../scripts/k8s-smoke.sh")
	cmd.Env = append(os.Environ(), "BANKMORE_URL="+ingress(t), "BANKMORE_CLI="+client)
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
