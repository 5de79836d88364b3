//go:build k8s

package k8s_test

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// While customers work, the images go back to those of the commit before, and forward again. No request fails.
func TestRollbackAndUpgrade(t *testing.T) {
	w := startWork(t)
	for _, version := range []string{"previous", "test"} {
		if out, err := exec.CommandContext(t.Context(), "../../.ci/k8s", "apply", version).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", version, err, out)
		}
		for _, app := range apps {
			if got := kubectl(t, "get", "deployment", app, "-o", "jsonpath={.spec.template.metadata.labels.app\\.kubernetes\\.io/version}"); got != version {
				t.Errorf("%s has version %s, want %s", app, got, version)
			}
		}
	}
	oldPodsEnd(t)
	w.noneFailed(t)
	w.finish(t)
}

// Two that migrate an empty database at the same time both succeed.
func TestMigrationsAtOnce(t *testing.T) {
	for _, service := range services {
		name := "twice-" + uuid.NewString()[:8]
		url := emptyDatabase(t, name)
		kubectl(t, "create", "secret", "generic", name, "--from-literal=url="+url)
		t.Cleanup(func() { _, _ = try(context.WithoutCancel(t.Context()), "", "delete", "job,secret", name) })

		var job map[string]any
		if err := json.Unmarshal([]byte(kubectl(t, "get", "job", service+"-migrate-test", "-o", "json")), &job); err != nil {
			t.Fatal(err)
		}
		spec := job["spec"].(map[string]any)
		delete(spec, "selector")
		spec["parallelism"], spec["completions"], spec["backoffLimit"] = 2, 2, 0
		template := spec["template"].(map[string]any)
		template["metadata"].(map[string]any)["labels"] = map[string]string{
			"app.kubernetes.io/name": name, "app.kubernetes.io/component": "migration", // whom the network policies let through
		}
		container := template["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
		for _, variable := range container["env"].([]any) {
			variable := variable.(map[string]any)
			if variable["name"] == "DATABASE_URL" {
				variable["valueFrom"].(map[string]any)["secretKeyRef"].(map[string]any)["name"] = name
			}
		}
		made, err := json.Marshal(map[string]any{
			"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]string{"name": name}, "spec": spec,
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := try(t.Context(), string(made), "create", "-f", "-"); err != nil {
			t.Fatal(err)
		}
		kubectl(t, "wait", "job/"+name, "--for=condition=Complete", "--timeout=2m")
	}
}

// emptyDatabase makes one, until the test ends, and returns its URL as pods see it.
func emptyDatabase(t *testing.T, name string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), os.Getenv("BACKENDS_POSTGRES_URL"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if _, err := conn.Exec(ctx, "DROP DATABASE "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
		_ = conn.Close(ctx)
	})
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(os.Getenv("BACKENDS_POSTGRES_URL"))
	if err != nil {
		t.Fatal(err)
	}
	u.Host, u.Path = "postgres:5432", "/"+name
	return u.String()
}
