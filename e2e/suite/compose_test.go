package suite_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"gopkg.in/yaml.v3"
)

// With the configuration that compose gives to sidecars one finds another by its app id, and gives away no secret. Only
// the port is another, since any number of stacks may run here. The app id is the only name that every machine knows.
func TestComposeConfiguration(t *testing.T) {
	const folder, id = "components/compose", "localhost"
	copyComponents(t, folder, "compose/config.yaml", "components/production/secrets.yaml")
	app, err := url.Parse(system.Apps["account-svc"].URL)
	if err != nil {
		t.Fatal(err)
	}
	target := system.LoneSidecar("compose target", "account-svc", folder)
	target.Sidecar.AddArguments("--app-id", id, "--app-port", app.Port())
	caller := system.LoneSidecar("compose caller", "account-svc", folder)

	file := filepath.Join(system.Dir, folder, "config.yaml")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	moved := bytes.Replace(raw, []byte("{appid}:50002"), fmt.Appendf(nil, "{appid}:%d", target.InternalPort()), 1)
	if bytes.Equal(moved, raw) {
		t.Fatalf("no port to move in %s", raw)
	}
	if err := os.WriteFile(file, moved, 0o600); err != nil {
		t.Fatal(err)
	}
	startAlone(t, target)
	startAlone(t, caller)
	if answer := system.Send(t, "GET", caller.Invoke(id)+"/api/account/balance", "", nil); answer.Status != http.StatusUnauthorized {
		t.Errorf("%d %s, want account-svc's 401", answer.Status, answer.Body)
	}
	keepsSecrets(t, caller)
}

// Compose's configuration differs from production's, which other tests run, in nothing but name resolution.
func TestComposeConfigurationIsProductions(t *testing.T) {
	read := func(path string) map[string]any {
		raw, err := os.ReadFile(filepath.Join(root(t), path))
		if err != nil {
			t.Fatal(err)
		}
		var config map[string]any
		if err := yaml.Unmarshal(raw, &config); err != nil {
			t.Fatal(err)
		}
		return config
	}
	compose, production := read("compose/config.yaml"), read("components/production/config.yaml")
	delete(compose["spec"].(map[string]any), "nameResolution")
	if !reflect.DeepEqual(compose, production) {
		t.Errorf("compose has %v, production %v", compose, production)
	}
}
