// Package door_test holds the ingress alone against its promises, with a sidecar that each test plays.
package door_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/bankmore/bankmore/e2e/stack"
)

// open starts the ingress in front of a handler that plays its sidecar, until the test ends.
func open(t *testing.T, sidecar http.HandlerFunc, env map[string]string) *stack.Door {
	t.Helper()
	server := httptest.NewServer(sidecar)
	t.Cleanup(server.Close)
	door, err := stack.OpenDoor(t.Context(), server.Listener.Addr().(*net.TCPAddr).Port, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(door.LogTail())
		}
		if err := door.Close(); err != nil {
			t.Error(err)
		}
	})
	return door
}

// logOf reads what the ingress has logged so far.
func logOf(t *testing.T, door *stack.Door) string {
	t.Helper()
	log, err := os.ReadFile(door.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}
