package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const store = `apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: statestore
spec:
  type: state.redis
  version: v1
  metadata:
    - name: redisHost
      value: localhost:6379
`

const config = `apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata:
  name: config
spec:
  nameResolution:
    component: nameformat
    version: v1
    configuration:
      format: "{appid}"
`

const policies = `apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata:
  name: resiliency
spec:
  policies:
    timeouts:
      short: 1s
    retries:
      again:
        policy: constant
  targets:
    apps:
      account-svc:
        retry: again
    components:
      pubsub:
        inbound:
          retry: again
        outbound:
          retry: again
`

const job = `apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
spec:
  template:
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      containers:
        - name: migrate
          image: account-svc:1
          resources:
            requests: {cpu: 1m, memory: 1Mi}
            limits: {cpu: 1m, memory: 1Mi}
`

func TestCheck(t *testing.T) {
	contrib, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/dapr/components-contrib").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ resource, old, replacement, want string }{
		{store, "", "", ""},
		{store, "redisHost", "RedisHost", ""}, // Dapr does not mind
		{store, "redisHost", "redisHots", "no setting redisHots"},
		{store, "redisHost", "redisDB", "needs the setting redishost"},
		{store, "type: state.redis", "type: state.reddis", "no description of state.reddis"},
		{store, "state.redis", "state.memcached", "tools/daprd is built without state.memcached/v1"},
		{store, "version: v1\n", "version: v2\n", "has version v1, not v2"},
		{store, "metadata:\n  name", "metadata:\n  nam", "unknown field"},
		{store, "spec:", "scopes: none\nspec:", "scopes"},
		{store, "value:", "valeu:", "unknown field"},
		{store, "kind: Component", "kind: Compnent", "unknown resource"},
		{store, "v1alpha1", "v1", "unknown resource"},
		{job, "", "", ""},
		{job, "containers", "container", "unknown field"},
		{job, "name: migrate\nspec", "name: [migrate]\nspec", "name"},
		{job, "batch/v1", "batch/v2", "unknown resource"},
		{job, "account-svc:1", "account-svc", "Job migrate: migrate: image account-svc has no version"},
		{job, "batch/v1", "monitoring.coreos.com/v1", ""}, // which is not ours to know
		{config, "", "", ""},
		{config, "nameformat", "sqlite", ""}, // which does not describe its settings
		{config, "nameformat", "nameforms", "no description of nameresolution.nameforms"},
		{config, "nameformat", "hashicorp.consul", "tools/daprd is built without nameresolution.hashicorp.consul/v1"},
		{config, "version: v1\n", "version: v2\n", "has version v1, not v2"},
		{config, "format:", "formats:", "no setting formats"},
		{config, "format:", "formats:", "needs the setting format"},
		{config, "configuration:", "configurations:", "unknown field"},
		{policies, "", "", ""},
		{policies, "account-svc:\n        retry: again", "account-svc:\n        timeout: short", "targets.apps.account-svc has a timeout: when a caller goes away"},
		{policies, "inbound:\n          retry: again", "inbound:\n          timeout: short", "targets.components.pubsub.inbound has a timeout: when a delivery is abandoned"},
		{policies, "outbound:\n          retry: again", "outbound:\n          timeout: short", ""}, // which ends nothing
		{policies, "short: 1s", "DefaultTimeoutPolicy: 1s", "policies.timeouts.DefaultTimeoutPolicy is a timeout of whatever has none of its own"},
		{policies, "short: 1s", "DefaultAppTimeoutPolicy: 1s", "apps too: when a caller goes away"},
		{policies, "short: 1s", "DefaultPubsubComponentInboundTimeoutPolicy: 1s", "policies.timeouts.DefaultPubsubComponentInboundTimeoutPolicy"},
	} {
		path := filepath.Join(t.TempDir(), "store.yaml")
		if err := os.WriteFile(path, []byte(strings.Replace(test.resource, test.old, test.replacement, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		err := check(path, strings.TrimSpace(string(contrib)))
		if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%q for %q: %v, want %q", test.replacement, test.old, err, test.want)
		}
	}
}
