//go:build k8s

// Package k8s_test holds the production overlay against its promises, on the cluster that `.ci/k8s up` has brought up.
package k8s_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/bank"
)

const namespace = "bankmore"

// patience is how long a rollout, or a pod's start, may take.
const patience = 5 * time.Minute

var services = []string{"account-svc", "transfer-svc", "fee-svc"}

var apps = append([]string{"ingress"}, services...)

// ingress is the front door's URL.
func ingress(t *testing.T) string {
	t.Helper()
	url := os.Getenv("K8S_INGRESS")
	if url == "" {
		t.Fatal(`no cluster: .ci/k8s up && eval "$(.ci/k8s env)"`)
	}
	return url
}

// try runs kubectl in the namespace and returns what it says.
func try(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "kubectl", append([]string{"--namespace", namespace}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := try(t.Context(), "", args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// pods are the names of an app's pods that are not about to end.
func pods(t *testing.T, app string) []string {
	t.Helper()
	return strings.Fields(kubectl(t, "get", "pods", "-l", "app.kubernetes.io/name="+app, "--field-selector", "status.phase=Running",
		"-o", `go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}} {{end}}{{end}}`))
}

func rollout(t *testing.T, app string) {
	t.Helper()
	kubectl(t, "rollout", "status", "deployment/"+app, "--timeout="+patience.String())
}

// token is what an app presents to its sidecar.
func token(t *testing.T, app string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(kubectl(t, "get", "secret", app+"-dapr-api-token", "-o", "jsonpath={.data.token}"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var forwarding = regexp.MustCompile(`Forwarding from (127\.0\.0\.1:\d+) `)

// sidecar is the URL by which this machine reaches the HTTP API of the sidecar in an app's first pod, until the test ends:
// whoever calls through it has that app's certificate.
func sidecar(t *testing.T, app string) string {
	t.Helper()
	all := pods(t, app)
	if len(all) == 0 {
		t.Fatalf("%s has no pods", app)
	}
	cmd := exec.CommandContext(t.Context(), "kubectl", "--namespace", namespace, "port-forward", "--address", "127.0.0.1", "pod/"+all[0], ":3500")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var said bytes.Buffer
	buffer := make([]byte, 1024)
	for {
		n, err := out.Read(buffer)
		said.Write(buffer[:n])
		if found := forwarding.FindSubmatch(said.Bytes()); found != nil {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return "http://" + string(found[1])
		}
		if err != nil {
			t.Fatalf("port-forward to %s: %s: %v", all[0], &said, err)
		}
	}
}

// invoke calls a path of an app as it is written here, through a sidecar.
func invoke(t *testing.T, from, apiToken, app, method, path string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, from, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Opaque = "//" + req.URL.Host + path // sent as it is
	req.Header.Set("dapr-app-id", app)
	req.Header.Set("dapr-api-token", apiToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// customer opens an account, logs in and deposits.
func customer(t *testing.T, c *client.Client, deposit string) *client.Session {
	t.Helper()
	cpf := bank.NewCPF()
	if _, err := c.Register(t.Context(), cpf, "Ana Souza", "uma-senha-longa"); err != nil {
		t.Fatal(err)
	}
	session, err := c.Login(t.Context(), cpf, "uma-senha-longa")
	if err != nil {
		t.Fatal(err)
	}
	if deposit != "" {
		if _, err := session.Move(t.Context(), uuid.NewString(), "C", deposit); err != nil {
			t.Fatal(err)
		}
	}
	return session
}

// eventually wants a condition to hold within limit.
func eventually(t *testing.T, limit time.Duration, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
	}
}
