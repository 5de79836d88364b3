// Package ingress_test holds the ingress alone against its promises, with a sidecar that each test plays.
package ingress_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/bankmore/bankmore/e2e/stack"
)

// open starts the ingress in front of a handler that plays its sidecar, until the test ends.
func open(t *testing.T, sidecar http.HandlerFunc, env map[string]string) *stack.LoneIngress {
	t.Helper()
	server := httptest.NewServer(sidecar)
	t.Cleanup(server.Close)
	ingress, err := stack.StartIngress(t.Context(), server.Listener.Addr().(*net.TCPAddr).Port, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(ingress.LogTail())
		}
		if err := ingress.Close(); err != nil {
			t.Error(err)
		}
	})
	return ingress
}

// logOf reads what the ingress has logged so far.
func logOf(t *testing.T, ingress *stack.LoneIngress) string {
	t.Helper()
	log, err := os.ReadFile(ingress.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}
