package suite_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"gopkg.in/yaml.v3"

	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

// resource is the part of a Dapr resource that decides whether a sidecar loads it.
type resource struct {
	Kind     string                `yaml:"kind"`
	Metadata struct{ Name string } `yaml:"metadata"`
	Scopes   []string              `yaml:"scopes"`
	Spec     struct {
		Type  string `yaml:"type"`
		Topic string `yaml:"topic"`
	} `yaml:"spec"`
}

// Every sidecar has started every component and subscription that is meant for it, and no other. (daprd can go on
// without a component that fails.)
func TestSidecarsLoadTheirComponents(t *testing.T) {
	for _, id := range append([]string{stack.Ingress}, stack.Services...) {
		app := system.Apps[id]
		want := resources(t, id, app.Resources)
		bank.Eventually(t, 20*time.Second, func() error {
			got, err := loaded(app)
			if err == nil && !slices.Equal(got, want) {
				err = fmt.Errorf("%s has loaded %q, want %q", id, got, want)
			}
			return err
		})
	}
}

// resources lists what the files in folders hold for an app.
func resources(t *testing.T, id string, folders []string) (all []string) {
	t.Helper()
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(system.Dir, folder, "*.yaml"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", folder, len(files), err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var r resource
			if err := yaml.Unmarshal(raw, &r); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			switch {
			case r.Scopes != nil && !slices.Contains(r.Scopes, id):
			case r.Kind == "Component":
				all = append(all, r.Metadata.Name+" "+r.Spec.Type)
			case r.Kind == "Subscription":
				all = append(all, "subscription "+r.Spec.Topic)
			}
		}
	}
	slices.Sort(all)
	return all
}

// loaded lists the components and subscriptions that the sidecar says it has loaded.
func loaded(app *stack.App) (all []string, err error) {
	resp, err := asApp().Get(app.Dapr + "/v1.0/metadata")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var metadata struct {
		Components []struct {
			Name string `json:"name"`
			Type string `json:"type"`
		} `json:"components"`
		Subscriptions []struct {
			Topic string `json:"topic"`
		} `json:"subscriptions"`
	}
	if err := json.UnmarshalRead(resp.Body, &metadata); err != nil {
		return nil, err
	}
	for _, c := range metadata.Components {
		all = append(all, c.Name+" "+c.Type)
	}
	for _, s := range metadata.Subscriptions {
		all = append(all, "subscription "+s.Topic)
	}
	slices.Sort(all)
	return all, nil
}

// copyComponents makes a folder of the stack with some of the repository's files for sidecars.
func copyComponents(t *testing.T, folder string, files ...string) {
	t.Helper()
	dir := filepath.Join(system.Dir, folder)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join(root(t), file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// keepsSecrets checks that a sidecar with the secret store gives none away, neither all at once nor one by its name.
func keepsSecrets(t *testing.T, app *stack.App) {
	t.Helper()
	if status, body := secretsOf(t, app, "bulk"); status != http.StatusOK || body != "{}" {
		t.Errorf("%s gives away %d %.200s", app.ID, status, body)
	}
	if status, body := secretsOf(t, app, "APP_API_TOKEN"); status != http.StatusForbidden {
		t.Errorf("%s gives away %d %.200s", app.ID, status, body)
	}
}

// asApp is a client that sidecars take for their app.
func asApp() *http.Client {
	return &http.Client{Transport: system.Stack.Transport(http.DefaultTransport)}
}

// secretsOf asks a sidecar for a secret, or for the bulk of them.
func secretsOf(t *testing.T, app *stack.App, name string) (status int, body string) {
	t.Helper()
	resp, err := asApp().Get(app.Dapr + "/v1.0/secrets/secrets/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(raw))
}
