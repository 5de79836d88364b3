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

func TestCheck(t *testing.T) {
	contrib, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/dapr/components-contrib").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ old, replacement, want string }{
		{"", "", ""},
		{"redisHost", "RedisHost", ""}, // Dapr does not mind
		{"redisHost", "redisHots", "no setting redisHots"},
		{"redisHost", "redisDB", "needs the setting redishost"},
		{"type: state.redis", "type: state.reddis", "no description of state.reddis"},
		{"version: v1\n", "version: v2\n", "has version v1, not v2"},
		{"metadata:\n  name", "metadata:\n  nam", "unknown field"},
		{"spec:", "scopes: none\nspec:", "scopes"},
		{"value:", "valeu:", "unknown field"},
		{"kind: Component", "kind: Compnent", "unknown resource"},
		{"v1alpha1", "v1", "unknown resource"},
	} {
		path := filepath.Join(t.TempDir(), "store.yaml")
		if err := os.WriteFile(path, []byte(strings.Replace(store, test.old, test.replacement, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		err := check(path, strings.TrimSpace(string(contrib)))
		if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%q for %q: %v, want %q", test.replacement, test.old, err, test.want)
		}
	}
}
