package suite_test

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/stack"
)

// A sidecar starts the component that production may choose instead, and the component remembers a value. If it cannot log in, the
// sidecar does not list it as loaded.
func alternativeComponents(t *testing.T) {
	const folder = "components/trial"
	copyComponents(t, folder, "compose/config.yaml", "components/production/secrets.yaml", "components/production/alternatives/statestore-postgres.yaml")
	store := "statestore state.postgresql"
	for name, test := range map[string]struct {
		url    string
		starts bool
	}{
		"right":          {servers().WholeURL(), true},
		"wrong password": {strings.Replace(servers().WholeURL(), "bankmore:", "bankmore:x", 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			app := system.LoneSidecar("alternative "+name, "account-svc", folder)
			app.Sidecar.SetEnv("STATE_DATABASE_URL", test.url)
			startAlone(t, app)
			got, err := loaded(app)
			if err != nil || slices.Contains(got, store) != test.starts {
				t.Errorf("loaded %q, %v", got, err)
			}
			if test.starts {
				remembers(t, app)
			}
		})
	}
}

// Redis answers slowly, and a sidecar needs several answers to connect and log in. It has its state store nevertheless. If it gave
// up, it would do without until its next start.
func slowRedisAtStart(t *testing.T) {
	const folder = "components/slow"
	copyComponents(t, folder, "compose/config.yaml", "components/production/secrets.yaml", "components/production/statestore.yaml")
	line, address, err := stack.LongLine(os.Getenv("REDIS_HOST"), 150*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = line.Kill() })
	app := system.LoneSidecar("slow redis", "account-svc", folder)
	app.Sidecar.SetEnv("REDIS_HOST", address)
	began := time.Now()
	startAlone(t, app)
	if took := time.Since(began); took < time.Second {
		t.Errorf("started within %s: Redis was not slow", took)
	}
	if got, err := loaded(app); err != nil || !slices.Contains(got, "statestore state.redis") {
		t.Errorf("loaded %q, %v", got, err)
	}
}

// startAlone starts a sidecar without an app, until the test ends.
func startAlone(t *testing.T, app *stack.App) {
	t.Helper()
	t.Cleanup(func() {
		if err := app.Sidecar.Terminate(); err != nil {
			t.Error(err)
		}
	})
	if err := app.Sidecar.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// No service's sidecar gives away the secrets that its components log in with. The ingress's sidecar has no secret store.
func sidecarsKeepSecrets(t *testing.T) {
	for _, id := range stack.Services {
		keepsSecrets(t, system.Apps[id])
	}
	status, body := secretsOf(t, system.Apps[stack.Ingress], "bulk")
	if status != http.StatusInternalServerError || !strings.Contains(body, "ERR_SECRET_STORES_NOT_CONFIGURED") {
		t.Errorf("the ingress's: %d %.200s, want that it has no secret store", status, body)
	}
}

// remembers saves a key and reads it.
func remembers(t *testing.T, app *stack.App) {
	t.Helper()
	if a := system.Send(t, "POST", app.Dapr+"/v1.0/state/statestore", `[{"key":"k","value":"v","metadata":{"ttlInSeconds":"60"}}]`, nil); a.Status != 204 {
		t.Errorf("saving: %d %s", a.Status, a.Body)
	}
	if a := system.Send(t, "GET", app.Dapr+"/v1.0/state/statestore/k", "", nil); a.Status != 200 || string(a.Body) != `"v"` {
		t.Errorf("reading: %d %s", a.Status, a.Body)
	}
}
