package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const pod = `metadata:
  annotations:
    dapr.io/enabled: "true"
    dapr.io/app-id: app
    dapr.io/config: app
    dapr.io/api-token-secret: token
    dapr.io/env: GOMEMLIMIT=217MiB,OTHER=a
    dapr.io/graceful-shutdown-seconds: "10"
    dapr.io/block-shutdown-duration: 70s
    dapr.io/sidecar-cpu-request: 100m
    dapr.io/sidecar-cpu-limit: "1"
    dapr.io/sidecar-memory-request: 128Mi
    dapr.io/sidecar-memory-limit: 256Mi
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 80
  containers:
    - name: app
      image: registry:5000/app:1
      env:
        - {name: GOMEMLIMIT, value: 217MiB}
        - {name: DRAIN_TIMEOUT, value: 15s}
` + preStop + `      resources:
        requests: {cpu: 100m, memory: 128Mi}
        limits: {cpu: "1", memory: 256Mi}
`

// preStop is how long a service goes on, within pod.
const preStop = `      lifecycle: {preStop: {sleep: {seconds: 55}}}
`

func TestPods(t *testing.T) {
	for _, test := range []struct{ old, replacement, want string }{
		{"", "", ""},
		{"automountServiceAccountToken: false", "", "automountServiceAccountToken"},
		{"enableServiceLinks: false", "", "enableServiceLinks"},
		{"requests: {cpu: 100m, memory: 128Mi}", "", "no request"},
		{`limits: {cpu: "1", memory: 256Mi}`, `limits: {memory: 256Mi}`, "limit of cpu"},
		{"app:1", "app", "no version"},
		{"app:1", "app:latest", "no version"},
		{"value: 217MiB", "value: 256MiB", "app: GOMEMLIMIT 256MiB is 100%"},
		{"GOMEMLIMIT=217MiB", "GOMEMLIMIT=100MiB", "GOMEMLIMIT 100MiB is 39%"},
		{"GOMEMLIMIT=217MiB,", "", "the sidecar has no GOMEMLIMIT"},
		{"dapr.io/config: app", "", "no annotation dapr.io/config"},
		{"terminationGracePeriodSeconds: 80", "terminationGracePeriodSeconds: 79", "may take 1m20s"},
		{"seconds: 55", "seconds: 56", "may take 1m21s"},
		{"15s", "16s", "may take 1m21s"},
		{preStop, "", "the app ends at once"},
		{preStop, "        - {name: INGRESS_SHUTDOWN_DELAY, value: 55s}\n", ""},
		{preStop, "        - {name: INGRESS_SHUTDOWN_DELAY, value: 56s}\n", "may take 1m21s"},
		{preStop, "        - {name: INGRESS_SHUTDOWN_DELAY, value: long}\n", "INGRESS_SHUTDOWN_DELAY"},
		{"duration: 70s", "duration: 69s", "block-shutdown-duration"},
		{`"10"`, `"ten"`, "graceful-shutdown-seconds"},
		{`enabled: "true"`, `enabled: "false"`, ""},
	} {
		var template core.PodTemplateSpec
		if err := yaml.UnmarshalStrict([]byte(strings.Replace(pod, test.old, test.replacement, 1)), &template); err != nil {
			t.Fatal(err)
		}
		if err := pods(&template); (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%q for %q: %v, want %q", test.replacement, test.old, err, test.want)
		}
	}
}

// Whatever the manifests want of Secrets is what the development overlay makes, what External Secrets fetches, and what the
// documentation lists.
func TestSecretsAreTheSameEverywhere(t *testing.T) {
	const k8s = "../../../k8s/"
	wanted := map[string]bool{}
	files, err := filepath.Glob(k8s + "base/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		for _, document := range documents(t, file) {
			collect(document, wanted)
		}
	}
	if len(wanted) < 15 {
		t.Fatalf("found only %v", wanted)
	}

	made := map[string]bool{}
	for _, document := range documents(t, k8s+"overlays/dev/templates.yaml") {
		name, _ := document["metadata"].(map[string]any)["name"].(string)
		for key := range document["stringData"].(map[string]any) {
			if name != "postgres" { // the development server's own
				made[name+" "+key] = true
			}
		}
	}
	differ(t, "the development overlay makes", wanted, made)

	fetched := map[string]bool{}
	for _, file := range []string{"secrets.yaml", "tokens.yaml"} {
		for _, document := range documents(t, k8s+"components/external-secrets/"+file) {
			if document["kind"] == "ExternalSecret" {
				fetched[document["metadata"].(map[string]any)["name"].(string)] = true
			}
		}
	}
	differ(t, "External Secrets fetches", names(wanted), fetched)

	documentation, err := os.ReadFile("../../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	for secret := range wanted {
		name, key, _ := strings.Cut(secret, " ")
		if !regexp.MustCompile("(?m)^\\|.*`" + name + "`.*\\|.*`" + key + "`.*\\|").Match(documentation) {
			t.Errorf("docs/kubernetes.md does not list the key %s of the Secret %s", key, name)
		}
	}
}

func documents(t *testing.T, file string) (all []map[string]any) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range bytes.Split(raw, []byte("\n---\n")) {
		var content map[string]any
		if err := yaml.Unmarshal(document, &content); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, content)
	}
	return all
}

// collect adds each Secret and key that a part of a manifest refers to.
func collect(part any, wanted map[string]bool) {
	switch part := part.(type) {
	case []any:
		for _, item := range part {
			collect(item, wanted)
		}
	case map[string]any:
		for key, value := range part {
			text, _ := value.(string)
			switch key {
			case "secretKeyRef":
				ref := value.(map[string]any)
				wanted[fmt.Sprint(ref["name"], " ", ref["key"])] = true
			case "dapr.io/app-token-secret", "dapr.io/api-token-secret":
				wanted[text+" token"] = true
			case "dapr.io/env-from-secret":
				for _, pair := range strings.Split(text, ",") {
					_, secret, _ := strings.Cut(pair, "=")
					wanted[strings.Replace(secret, ":", " ", 1)] = true
				}
			default:
				collect(value, wanted)
			}
		}
	}
}

func names(secrets map[string]bool) map[string]bool {
	all := map[string]bool{}
	for secret := range secrets {
		name, _, _ := strings.Cut(secret, " ")
		all[name] = true
	}
	return all
}

func differ(t *testing.T, who string, want, got map[string]bool) {
	t.Helper()
	for _, name := range slices.Concat(keys(want), keys(got)) {
		if want[name] != got[name] {
			t.Errorf("%s: %v; the manifests want it: %v (%s)", who, got[name], want[name], name)
		}
	}
}

func keys(set map[string]bool) (all []string) {
	for key := range set {
		all = append(all, key)
	}
	slices.Sort(all)
	return all
}
