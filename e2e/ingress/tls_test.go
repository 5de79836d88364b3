package ingress_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/stack"
)

// certify writes a certificate for 127.0.0.1 that signs itself, and its key. It returns both files, and a client that trusts
// this certificate only.
func certify(t *testing.T) (certificate, key string, client *http.Client) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, bytes []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	return write("tls.crt", "CERTIFICATE", der), write("tls.key", "PRIVATE KEY", pkcs8), &http.Client{Transport: transport}
}

// With a certificate and its key the ingress speaks TLS only, and each of its answers keeps browsers from going back to HTTP.
func TestTLS(t *testing.T) {
	certificate, key, client := certify(t)
	asked := make(chan string, 10)
	ingress := open(t, service(asked), map[string]string{"INGRESS_TLS_CERTIFICATE": certificate, "INGRESS_TLS_KEY": key})
	for path, status := range map[string]int{"/api/account/balance": 200, "/api/fee/my": 503, "/api/nothing": 404, "/healthz": 200} {
		resp := exchange(t, client, "GET", "https://"+ingress.Address+path, nil)
		if resp.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, status)
		}
		wantHeaders(t, path, resp, map[string]string{"Strict-Transport-Security": "max-age=31536000", "X-Content-Type-Options": "nosniff"})
		if resp.TLS.Version < tls.VersionTLS12 {
			t.Errorf("%s: TLS %x", path, resp.TLS.Version)
		}
	}
	for len(asked) > 0 {
		<-asked
	}
	if resp := exchange(t, http.DefaultClient, "GET", "http://"+ingress.Address+"/api/account/balance", nil); resp.StatusCode != http.StatusBadRequest || len(asked) > 0 {
		t.Errorf("without TLS: %d, and services are asked %d times", resp.StatusCode, len(asked))
	}
	old := client.Transport.(*http.Transport).Clone()
	old.TLSClientConfig.MinVersion, old.TLSClientConfig.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
	defer old.CloseIdleConnections()
	if resp, err := (&http.Client{Transport: old}).Get("https://" + ingress.Address + "/healthz"); err == nil {
		resp.Body.Close()
		t.Error("the ingress speaks TLS 1.1")
	}
}

// With one of the two settings the ingress does not start, rather than speak HTTP where somebody wanted TLS, and it says what is missing.
func TestHalfOfTLSIsRefused(t *testing.T) {
	certificate, key, _ := certify(t)
	for name, file := range map[string]string{"INGRESS_TLS_CERTIFICATE": certificate, "INGRESS_TLS_KEY": key} {
		ingress, err := stack.StartIngress(t.Context(), 1, map[string]string{name: file})
		if err == nil {
			t.Errorf("with %s alone the ingress starts", name)
			if err := ingress.Close(); err != nil {
				t.Error(err)
			}
		} else if !strings.Contains(err.Error(), "INGRESS_TLS_CERTIFICATE-and-INGRESS_TLS_KEY-must-be-set-together") {
			t.Errorf("%s alone: %v", name, err)
		}
	}
	open(t, service(make(chan string, 1)), map[string]string{"INGRESS_TLS_CERTIFICATE": "", "INGRESS_TLS_KEY": ""}) // empty is absent
}
