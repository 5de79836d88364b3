package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dapr/dapr/pkg/acl"
	runtime "github.com/dapr/dapr/pkg/config"
	"github.com/dapr/dapr/pkg/messaging/method"
	common "github.com/dapr/dapr/pkg/proto/common/v1"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffegrpc/grpccredentials"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc/peer"
	"sigs.k8s.io/yaml"
)

// accessControl is what the sidecar of an app on Kubernetes makes of its configuration.
func accessControl(t *testing.T, app string) *runtime.AccessControlList {
	t.Helper()
	raw, err := os.ReadFile("../../../k8s/base/configurations.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range bytes.Split(raw, []byte("\n---\n")) {
		var c runtime.Configuration
		if err := yaml.Unmarshal(document, &c); err != nil {
			t.Fatal(err)
		}
		if c.Name != app {
			continue
		}
		list, err := acl.ParseAccessControlSpec(c.Spec.AccessControlSpec, true)
		if err != nil || list == nil {
			t.Fatalf("%s: access control %v: %v", app, list, err)
		}
		return list
	}
	t.Fatalf("no configuration of %s", app)
	return nil
}

// authority signs the certificates of a test's callers, as sentry does for sidecars.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	contexts    map[string]context.Context
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{contexts: map[string]context.Context{}}
	a.certificate, a.key = a.sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes a certificate, by itself as long as there is no other.
func (a *authority) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if a.certificate != nil {
		parent, signer = a.certificate, a.key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

// GetX509BundleForTrustDomain implements x509bundle.Source: one authority for all.
func (a *authority) GetX509BundleForTrustDomain(domain spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	return x509bundle.FromX509Authorities(domain, []*x509.Certificate{a.certificate}), nil
}

func (a *authority) identity(t *testing.T, id string) *x509svid.SVID {
	t.Helper()
	parsed, err := spiffeid.FromString(id)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key := a.sign(t, &x509.Certificate{URIs: []*url.URL{parsed.URL()}, KeyUsage: x509.KeyUsageDigitalSignature})
	return &x509svid.SVID{ID: parsed, Certificates: []*x509.Certificate{certificate}, PrivateKey: key}
}

// calling is the context of a call by whoever has this SPIFFE id in its certificate, after a handshake between sidecars. It
// has no certificate if id is empty.
func (a *authority) calling(t *testing.T, id string) context.Context {
	t.Helper()
	if ctx, ok := a.contexts[id]; ok || id == "" {
		return cmp.Or(ctx, t.Context())
	}
	server := grpccredentials.MTLSServerCredentials(a.identity(t, ours+"callee"), a, tlsconfig.AuthorizeAny())
	client := grpccredentials.MTLSClientCredentials(a.identity(t, id), a, tlsconfig.AuthorizeAny())
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	go func() { _, _, _ = client.ClientHandshake(t.Context(), "", there) }() // should it fail, so does the server's
	_, info, err := server.ServerHandshake(here)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	a.contexts[id] = peer.NewContext(t.Context(), &peer.Peer{AuthInfo: info})
	return a.contexts[id]
}

// allowed decides by Dapr's own code about a call whose path came to the caller's sidecar as it is written here.
func (a *authority) allowed(t *testing.T, list *runtime.AccessControlList, id, verb, rawPath string) bool {
	t.Helper()
	decoded, err := url.PathUnescape(rawPath) // as net/http does, once
	if err != nil {
		return false
	}
	operation, err := method.NormalizeMethod(strings.TrimPrefix(decoded, "/"))
	if err != nil {
		return false
	}
	ok, _ := acl.ApplyAccessControlPolicies(a.calling(t, id), operation, common.HTTPExtension_Verb(common.HTTPExtension_Verb_value[verb]), true, list)
	return ok
}

const ours = "spiffe://public/ns/bankmore/"

// Every pair of a caller and an operation: these are allowed, and no other.
func TestAccessControl(t *testing.T) {
	sentry := newAuthority(t)
	internal := []string{"/internal/movements", "/internal/balances", "/internal/closed-accounts"}
	mayCall := map[string]map[string][]string{ // callee, caller
		"account-svc": {
			"transfer-svc": {"POST /internal/movements", "POST /internal/closed-accounts"},
			"fee-svc":      {"POST /internal/movements", "POST /internal/balances", "POST /internal/closed-accounts"},
			"ingress": {
				"GET /api/account/balance", "POST /api/account/movement", "DELETE /api/account/balance", "GET /api/schema/account",
				"GET /swagger", "GET /swagger/swagger-ui.css", "GET /healthz",
			},
		},
		"transfer-svc": {"ingress": {"POST /api/transfer", "GET /api/transfer/list", "GET /api/schema/transfer", "GET /healthz"}},
		"fee-svc":      {"ingress": {"GET /api/fee/my", "GET /api/fee/detail/1", "GET /api/schema/fee", "GET /healthz"}},
		"ingress":      {},
	}
	operations := map[string]bool{
		"GET /metrics": true, "GET /readyz": true, "POST /events/transfers-completed": true, "GET /": true, "POST /internal": true,
		"PUT /actors/a/b/method/c": true, "GET /dapr/config": true,
	}
	for _, path := range internal {
		for _, verb := range []string{"POST", "GET", "PUT", "OPTIONS"} {
			operations[verb+" "+path] = true
		}
	}
	for _, callers := range mayCall {
		for _, list := range callers {
			for _, operation := range list {
				operations[operation] = true
			}
		}
	}
	for callee, callers := range mayCall {
		list := accessControl(t, callee)
		for _, caller := range []string{"account-svc", "transfer-svc", "fee-svc", "ingress", "stranger"} {
			may := map[string]bool{}
			for _, operation := range callers[caller] {
				may[operation] = true
			}
			for operation := range operations {
				verb, path, _ := strings.Cut(operation, " ")
				if got := sentry.allowed(t, list, ours+caller, verb, path); got != may[operation] {
					t.Errorf("%s calls %s of %s: allowed is %v", caller, operation, callee, got)
				}
				for _, other := range []string{"", "spiffe://public/ns/elsewhere/" + caller, "spiffe://other/ns/bankmore/" + caller} {
					if sentry.allowed(t, list, other, verb, path) {
						t.Errorf("%q may call %s of %s", other, operation, callee)
					}
				}
			}
		}
	}
}

// CVE-2026-41491 and its relatives: no writing of a path leads the ingress out of what it may call.
func TestAccessControlOfDisguisedPaths(t *testing.T) {
	sentry, list := newAuthority(t), accessControl(t, "account-svc")
	for _, path := range []string{
		"/api/account/..%2f..%2finternal/movements",
		"/api/account/%2e%2e/%2e%2e/internal/movements",
		"/api/account/%2E%2E%2F%2E%2E%2Finternal%2Fmovements",
		"/api/account/../../internal/movements",
		"/api/account/x/..%2f..%2f..%2finternal/movements",
		"/healthz/..%2finternal/movements",
		"//internal/movements",
		"/%2finternal/movements",
		"/internal%2fmovements",
		"/INTERNAL/movements",
		"/internal/movements/",
		"/internal/movements%23/api/account/",
		"/internal/movements%3f/api/account/",
		"/internal/movements%00",
		"/../internal/movements",
		"..%2finternal/movements",
	} {
		if sentry.allowed(t, list, ours+"ingress", "POST", path) {
			t.Errorf("the ingress may call %s", path)
		}
	}
	// What was encoded twice is still a name of one of the ingress's paths for the sidecar. The service decodes it once more,
	// and has no such route: it matches what was sent.
	if twice := "/api/account/..%252f..%252finternal/movements"; !sentry.allowed(t, list, ours+"ingress", "POST", twice) {
		t.Errorf("Dapr no longer takes %s for a path below /api/account", twice)
	}
	// A rule without ** admits longer paths. The service has none.
	if !sentry.allowed(t, list, ours+"fee-svc", "POST", "/internal/balances/more") {
		t.Error("Dapr no longer admits what is longer than a rule: configurations.yaml says that it does")
	}
}
