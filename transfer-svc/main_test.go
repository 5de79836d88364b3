package main

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func run(ctx context.Context, args ...string) error {
	return transferService().Run(ctx, io.Discard, io.Discard, args...)
}

// The whole program runs without a sidecar: it starts, answers that it is live but not ready, and stops at a signal.
func TestServe(t *testing.T) {
	const address = "127.0.0.1:18702"
	t.Setenv("BANKMORE_ENV", "local")
	t.Setenv("LISTEN_ADDRESS", address)
	t.Setenv("DATABASE_URL", "sqlite:"+filepath.Join(t.TempDir(), "transfer.db"))
	t.Setenv("DAPR_HTTP_PORT", "1") // nobody listens there
	t.Setenv("DAPR_GRPC_PORT", "1")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, "serve") }()

	if status, _ := eventually(t, ended, "http://"+address+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d", status)
	}
	if status, body := eventually(t, ended, "http://"+address+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "sidecar") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	if status, body := eventually(t, ended, "http://"+address+"/api/schema/transfer"); status != http.StatusOK || !strings.Contains(body, "openapi: 3.1.0") {
		t.Errorf("/api/schema/transfer: %d", status)
	}
	if status, body := eventually(t, ended, "http://"+address+"/metrics"); status != http.StatusOK || !strings.Contains(body, "bankmore_transfers_unfinished{") {
		t.Errorf("/metrics: %d without bankmore_transfers_unfinished", status)
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("serve: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("serve does not stop")
	}
	for _, command := range []string{"migrate", "verify"} {
		if err := run(t.Context(), command); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
}

// eventually gets url. It waits until the service listens.
func eventually(t *testing.T, ended <-chan error, url string) (status int, body string) {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second}
	for range 100 {
		resp, err := client.Get(url)
		if err == nil {
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return resp.StatusCode, string(text)
		}
		select {
		case err := <-ended:
			t.Fatalf("serve: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not answer", url)
	return 0, ""
}
