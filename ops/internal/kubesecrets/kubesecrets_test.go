package kubesecrets

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

const template = `
apiVersion: v1
kind: Secret
metadata:
  name: database
  labels: {part: one}
stringData:
  url: postgres://user:${hex password}@host/db?a=$b
  key: ${base64 key}
---
apiVersion: v1
kind: Secret
metadata: {name: server}
stringData: {password: "${hex password}", other: "${hex other}"}
`

// apiServer keeps Secrets as Kubernetes does. It refuses those that fail names.
type apiServer struct {
	mu      sync.Mutex
	secrets map[string]secret
	fail    string
}

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	const secrets = "/api/v1/namespaces/bank/secrets"
	name := strings.TrimPrefix(r.URL.Path, secrets+"/")
	switch {
	case r.Header.Get("Authorization") != "Bearer token":
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodGet && name == Seed: // the service account may read no other
		_ = json.MarshalWrite(w, a.secrets[name])
	case r.Method == http.MethodPost && r.URL.Path == secrets:
		var s secret
		if err := json.UnmarshalRead(r.Body, &s); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if s.Metadata.Name == a.fail {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"message":"quota exceeded"}`)
			return
		}
		if _, ok := a.secrets[s.Metadata.Name]; ok {
			w.WriteHeader(http.StatusConflict)
			return
		}
		a.secrets[s.Metadata.Name] = s
		w.WriteHeader(http.StatusCreated)
	default:
		w.WriteHeader(http.StatusForbidden)
	}
}

func serve(t *testing.T) (*apiServer, Cluster) {
	t.Helper()
	api := &apiServer{secrets: map[string]secret{}}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return api, Cluster{URL: server.URL, Namespace: "bank", Token: "token", HTTP: server.Client()}
}

func create(t *testing.T, cluster Cluster) string {
	t.Helper()
	var out bytes.Buffer
	if err := Create(t.Context(), &out, cluster, []byte(template)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestCreate(t *testing.T) {
	api, cluster := serve(t)
	out := create(t, cluster)
	if want := "secret database created\nsecret server created\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
	database, server := api.secrets["database"], api.secrets["server"]
	password := server.StringData["password"]
	if !regexp.MustCompile(`^[0-9a-f]{48}$`).MatchString(password) || password == server.StringData["other"] {
		t.Errorf("passwords %q and %q", password, server.StringData["other"])
	}
	if got, want := database.StringData["url"], "postgres://user:"+password+"@host/db?a=$b"; got != want {
		t.Errorf("url %q, want %q", got, want)
	}
	if key, err := base64.StdEncoding.DecodeString(database.StringData["key"]); err != nil || len(key) != 32 {
		t.Errorf("key %q: %v", database.StringData["key"], err)
	}
	if database.Metadata.Labels["part"] != "one" || database.Kind != "Secret" {
		t.Errorf("labels %v of %s", database.Metadata.Labels, database.Kind)
	}
	if strings.Contains(out, password) {
		t.Error("a password is told")
	}
}

// Nobody else has the same values.
func TestValuesAreOfOneNamespace(t *testing.T) {
	one, first := serve(t)
	two, second := serve(t)
	create(t, first)
	create(t, second)
	if a, b := one.secrets["server"].StringData, two.secrets["server"].StringData; a["password"] == b["password"] {
		t.Errorf("two namespaces have the password %q", a["password"])
	}
}

// The next run completes a run that was cut short, with the same values. Secrets that are there stay.
func TestCreateAgain(t *testing.T) {
	api, cluster := serve(t)
	api.fail = "server"
	err := Create(t.Context(), io.Discard, cluster, []byte(template))
	if err == nil || !strings.Contains(err.Error(), "server: status 403: quota exceeded") {
		t.Fatalf("error %v", err)
	}
	before := api.secrets["database"]
	api.fail = ""
	if out, want := create(t, cluster), "secret database is there already\nsecret server created\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
	if diff := cmp.Diff(before, api.secrets["database"]); diff != "" {
		t.Error(diff)
	}
	if password := api.secrets["server"].StringData["password"]; !strings.Contains(before.StringData["url"], ":"+password+"@") {
		t.Errorf("password %q, but %q", password, before.StringData["url"])
	}
}

func TestCreateTogether(t *testing.T) {
	api, cluster := serve(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := Create(t.Context(), io.Discard, cluster, []byte(template)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if url, password := api.secrets["database"].StringData["url"], api.secrets["server"].StringData["password"]; !strings.Contains(url, password) {
		t.Errorf("password %q, but %q", password, url)
	}
}

func TestTemplatesThatAreRefused(t *testing.T) {
	_, cluster := serve(t)
	for name, template := range map[string]string{
		"nothing":             "",
		"another kind":        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, stringData: {a: b}}",
		"no name":             "{apiVersion: v1, kind: Secret, stringData: {a: b}}",
		"no values":           "{apiVersion: v1, kind: Secret, metadata: {name: a}}",
		"an unknown field":    "{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {a: b}}",
		"an unknown encoding": "{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {a: '${octal x}'}}",
		"an unclosed one":     "{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {a: '${hex x'}}",
	} {
		if err := Create(t.Context(), io.Discard, cluster, []byte(template)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A pod's own service account leads to its API server, over TLS that it knows, and to its namespace.
func TestInCluster(t *testing.T) {
	api := &apiServer{secrets: map[string]secret{}}
	server := httptest.NewTLSServer(api)
	defer server.Close()
	host, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if _, err := inCluster(folder); err == nil {
		t.Error("outside of a pod: no error")
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", host)
	t.Setenv("KUBERNETES_SERVICE_PORT", port)
	if _, err := inCluster(folder); err == nil {
		t.Error("without a service account: no error")
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, content := range map[string]string{"token": "token\n", "namespace": "bank", "ca.crt": string(ca)} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cluster, err := inCluster(folder)
	if err != nil {
		t.Fatal(err)
	}
	create(t, cluster)
	if len(api.secrets) != 3 {
		t.Errorf("%d secrets, want the seed and two", len(api.secrets))
	}
}
