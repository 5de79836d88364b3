package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/account-svc/accountapi/accounttest"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/service"
)

func TestConfig(t *testing.T) {
	local := []string{"BANKMORE_ENV=local"}
	production := []string{
		"LISTEN_ADDRESS=:8003", "DATABASE_URL=sqlite:x.db", "JWT_SECRET_KEY=0123456789012345678901234567890123456789", "APP_API_TOKEN=t",
	}
	for name, test := range map[string]struct {
		environ []string
		want    []string // named in the error
	}{
		"local needs nothing":         {local, nil},
		"production":                  {production, nil},
		"production without anything": {nil, []string{"LISTEN_ADDRESS", "DATABASE_URL", "JWT_SECRET_KEY", "APP_API_TOKEN"}},
		"negative fee":                {append(local, "TRANSFER_FEE_AMOUNT=-0.01"), []string{"TRANSFER_FEE_AMOUNT"}},
		"fee is no amount":            {append(local, "TRANSFER_FEE_AMOUNT=2,00"), []string{"Valor inválido"}},
		"all wrong": {
			append(production, "TRANSFER_FEE_AMOUNT=-1", "FEE_BALANCE_INTERVAL=0s"),
			[]string{"TRANSFER_FEE_AMOUNT", "FEE_BALANCE_INTERVAL"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var c Config
			err := service.LoadConfig(&c, test.environ, localDefaults)
			if (err != nil) != (test.want != nil) {
				t.Fatalf("got %v", err)
			}
			for _, name := range test.want {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%v does not name %s", err, name)
				}
			}
			if err == nil && (c.Fees != fee.Config{Amount: 200, BalanceInterval: 30 * time.Second}) {
				t.Errorf("defaults: %+v", c.Fees)
			}
		})
	}
}

func run(ctx context.Context, args ...string) error {
	return feeService().Run(ctx, io.Discard, io.Discard, args...)
}

// fakeDapr is a fake of daprd, with the fake of account-svc behind it.
func fakeDapr(t *testing.T, ledger *accounttest.Ledger) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1.0/healthz/outbound", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("POST "+accountapi.MovementsPath, forward[accountapi.Movements, accountapi.MovementResults](t, ledger))
	mux.HandleFunc("POST "+accountapi.BalancesPath, forward[accountapi.Balances, accountapi.BalanceResults](t, ledger))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// forward hands a call to the ledger, as the sidecars do.
func forward[In, Out any](t *testing.T, ledger *accounttest.Ledger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		var out Out
		err := json.UnmarshalRead(r.Body, &in)
		if err == nil {
			err = ledger.Invoke(r.Context(), r.Header.Get("dapr-app-id"), r.URL.Path, in, &out)
		}
		if err == nil {
			err = json.MarshalWrite(w, out)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// The whole program runs: it gets an event, sends a debit, shows the fee, and stops cleanly, with its own event in the outbox.
func TestServe(t *testing.T) {
	ledger := accounttest.New(map[string]accounttest.Account{"18": {Balance: 100000}})
	dapr := fakeDapr(t, ledger)
	address := freeAddress(t)
	_, daprPort, err := net.SplitHostPort(dapr.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, nobody, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("BANKMORE_ENV", "local")
	t.Setenv("LISTEN_ADDRESS", address)
	t.Setenv("DATABASE_URL", "sqlite:"+filepath.Join(t.TempDir(), "data", "fee.db"))
	t.Setenv("DAPR_HTTP_PORT", daprPort)
	t.Setenv("DAPR_GRPC_PORT", nobody)
	t.Setenv("APP_API_TOKEN", "app-token")
	t.Setenv("TRANSFER_FEE_AMOUNT", "1.50")
	t.Setenv("LOG_LEVEL", "ERROR")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stopped := make(chan error, 1)
	go func() { stopped <- run(ctx, "serve") }()
	base := "http://" + address
	eventually(t, func() string { return fetch(t, http.MethodGet, base+"/readyz", "", nil) }, "200 ready")

	event := `{"id":"e","source":"transfer-svc","specversion":"1.0","type":"transfers-completed","data":` +
		`{"id":"0190f3a1-7b00-7000-8000-000000000001","origin_account_number":"18","amount":"150.00"}}`
	bulk := `{"entries":[{"entryId":"0","event":"` + base64.StdEncoding.EncodeToString([]byte(event)) + `"}]}`
	got := fetch(t, http.MethodPost, base+"/events/transfers-completed", bulk, http.Header{"Dapr-Api-Token": {"app-token"}})
	if got != `200 {"statuses":[{"entryId":"0","status":"SUCCESS"}]}` {
		t.Fatal(got)
	}
	authorization := http.Header{"Authorization": {"Bearer " + token(t, "18")}}
	eventually(t, func() string { return fetch(t, http.MethodGet, base+"/api/fee/my/", "", authorization) }, `"status":"CHARGED"`)
	want := accountapi.Movement{
		RequestID: "0190f3a1-7b00-7000-8000-000000000001:fee", AccountNumber: "18", Type: accountapi.Debit, Kind: accountapi.KindFee,
		Amount: 150, TransferID: "0190f3a1-7b00-7000-8000-000000000001", Description: "Tarifa de transferência",
	}
	if diff := cmp.Diff([]accounttest.Decision{{Movement: want}}, ledger.Decisions()); diff != "" {
		t.Errorf("the ledger has decided (-want +got):\n%s", diff)
	}

	stop()
	select {
	case err := <-stopped:
		if err != nil {
			t.Errorf("stopped with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("does not stop")
	}
	if err := run(t.Context(), "verify"); err != nil {
		t.Errorf("verify: %v", err)
	}
	if err := run(t.Context(), "migrate"); err != nil {
		t.Errorf("migrate: %v", err)
	}
}

func TestBusyPortIsNamed(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Setenv("BANKMORE_ENV", "local")
	t.Setenv("LISTEN_ADDRESS", listener.Addr().String())
	t.Setenv("DATABASE_URL", "sqlite:"+filepath.Join(t.TempDir(), "fee.db"))
	t.Setenv("LOG_LEVEL", "ERROR")
	if err := run(t.Context(), "serve"); err == nil || !strings.Contains(err.Error(), listener.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// token returns a token as account-svc issues it in the local environment.
func token(t *testing.T, accountNumber string) string {
	t.Helper()
	var c Config
	if err := service.LoadConfig(&c, []string{"BANKMORE_ENV=local"}, localDefaults); err != nil {
		t.Fatal(err)
	}
	tokens := auth.New(c.Auth)
	signed, err := tokens.Sign(accountapi.Claims{RegisteredClaims: tokens.Registered("a", time.Now()), AccountNumber: accountNumber})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// fetch returns the status and the body of an answer, or the text of the error.
func fetch(t *testing.T, method, url, body string, header http.Header) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, answer)
}

func eventually(t *testing.T, got func() string, want string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		last := got()
		if strings.Contains(last, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %s, want %s", last, want)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
