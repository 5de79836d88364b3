package command_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bankmore/bankmore/cli/internal/command"
	"github.com/bankmore/bankmore/cli/internal/session"
)

// bank is a bank that pays once per key, and whose answers can be lost.
type bank struct {
	*httptest.Server
	t *testing.T

	mu     sync.Mutex
	paid   []string // the keys of payments that were made, in order
	seen   []string // the keys of all payment requests, in order
	status map[string]string
	token  string                                          // that the bank gives and takes
	next   []func(http.ResponseWriter, *http.Request) bool // each treats one payment request, and says whether it has answered
	poll   func(w http.ResponseWriter)                     // answers about a transfer
	file   http.HandlerFunc                                // answers with a statement's file
}

func newBank(t *testing.T) *bank {
	b := &bank{t: t, status: map[string]string{}, token: tokenUntil(time.Now().Add(time.Hour))}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/account/register", func(w http.ResponseWriter, req *http.Request) {
		var body struct{ CPF, Name, Password string }
		b.read(req, &body)
		answer(w, 201, map[string]string{"account_number": "7907027952", "message": body.Name + " " + body.Password})
	})
	mux.HandleFunc("POST /api/account/login", func(w http.ResponseWriter, req *http.Request) {
		var body struct{ CPF, Password string }
		b.read(req, &body)
		if body.Password != "senha-da-ana" {
			refuse(w, 401, "USER_UNAUTHORIZED", "CPF ou senha incorretos.")
			return
		}
		answer(w, 200, map[string]string{"token": b.token, "account_number": "7907027952", "name": "Ana Souza"})
	})
	mux.HandleFunc("GET /api/account/balance", b.authorized(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]string{"account_number": "7907027952", "account_name": "Ana Souza", "balance": "1234.56"})
	}))
	mux.HandleFunc("GET /api/account/statement", b.authorized(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Query().Get("from") == "x" {
			refuse(w, 400, "INVALID_ARGUMENT", "from inválido")
			return
		}
		if req.URL.Query().Has("format") {
			b.file(w, req)
			return
		}
		item := func(id string) map[string]any {
			return map[string]any{"id": id, "type": "D", "amount": "150.00", "balance_after": "1234.56", "kind": "transfer", "counterparty_account_number": "1048576021",
				"description": "evil\x1b[2J", "transfer_id": "t", "created_at": "2026-11-22T21:30:00.123456Z"}
		}
		if req.URL.Query().Get("cursor") == "" {
			answer(w, 200, map[string]any{"items": []any{item("1")}, "next_cursor": "c " + req.URL.RawQuery})
			return
		}
		answer(w, 200, map[string]any{"items": []any{item("2")}, "next_cursor": nil})
	}))
	mux.HandleFunc("POST /api/account/movement", b.authorized(b.pay))
	mux.HandleFunc("POST /api/transfer", b.authorized(b.pay))
	mux.HandleFunc("GET /api/transfer/{id}", b.authorized(func(w http.ResponseWriter, _ *http.Request) { b.poll(w) }))
	mux.HandleFunc("GET /api/fee/my", b.authorized(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"items": []any{}, "next_cursor": nil})
	}))
	b.Server = httptest.NewServer(mux)
	t.Cleanup(b.Close)
	return b
}

// tokenUntil returns a token that ends at a time.
func tokenUntil(end time.Time) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"HS256"}`)) + "." + part(fmt.Appendf(nil, `{"sub":"ana","exp":%d}`, end.Unix())) + "." + part([]byte("signature"))
}

func (b *bank) read(req *http.Request, into any) {
	if err := json.NewDecoder(req.Body).Decode(into); err != nil {
		b.t.Error(err)
	}
}

func (b *bank) authorized(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "Bearer "+b.token {
			refuse(w, 403, "INVALID_TOKEN", "Token inválido.")
			return
		}
		handle(w, req)
	}
}

// pay pays once per key.
func (b *bank) pay(w http.ResponseWriter, req *http.Request) {
	text, err := io.ReadAll(req.Body)
	if err != nil {
		b.t.Error(err)
	}
	var body struct {
		Key         string `json:"request_id"`
		Destination string `json:"destination_account_number"`
		Amount      string `json:"amount"`
	}
	if err := json.Unmarshal(text, &body); err != nil {
		b.t.Error(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = append(b.seen, body.Key)
	if len(b.next) > 0 {
		treat := b.next[0]
		b.next = b.next[1:]
		if treat(w, req) {
			return
		}
	}
	if b.status[body.Key] == "" {
		b.status[body.Key] = "COMPLETED"
		b.paid = append(b.paid, body.Key)
	} else {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	if w.Header().Get("X-Lose") != "" {
		panic(http.ErrAbortHandler) // ends the connection without an answer
	}
	if strings.Contains(req.URL.Path, "movement") {
		w.WriteHeader(204)
		return
	}
	answer(w, 200, map[string]string{"transfer_id": "id of " + body.Key, "message": "m", "status": "COMPLETED", "origin_account_number": "7907027952",
		"destination_account_number": body.Destination, "amount": body.Amount})
}

// lost lets the bank pay, and loses its answer.
func lost(w http.ResponseWriter, _ *http.Request) bool {
	w.Header().Set("X-Lose", "1")
	return false
}

// answers gives an answer in place of the payment.
func answers(status int, kind string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		refuse(w, status, kind, "Mensagem do banco.")
		return true
	}
}

// accepted says that a transfer has not ended.
func accepted(w http.ResponseWriter, _ *http.Request) bool {
	answer(w, 202, map[string]string{"transfer_id": "t-1", "message": "m", "status": "PENDING", "origin_account_number": "7907027952",
		"destination_account_number": "1048576021", "amount": "150.00"})
	return true
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Request-ID", "the-request")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	answer(w, status, map[string]string{"message": message, "type": kind})
}

// made returns how many payments the bank has made.
func (b *bank) made() int { return len(b.payments()) }

// payments returns the keys of the payments that the bank has made.
func (b *bank) payments() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.paid)
}

// asked returns the keys of all requests to pay.
func (b *bank) asked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.seen)
}

func (b *bank) then(next ...func(http.ResponseWriter, *http.Request) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next = append(b.next, next...)
}

// terminal is the machine of a customer.
type terminal struct {
	t     *testing.T
	env   map[string]string
	now   time.Time
	in    *os.File
	ctx   context.Context
	pause func()

	out, err io.Writer // instead of what run returns
	keyring  session.Keyring
}

// atTerminal returns the machine of a customer of a bank.
func atTerminal(t *testing.T, url string) *terminal {
	t.Helper()
	return &terminal{t: t, ctx: t.Context(), now: time.Now(), env: map[string]string{"BANKMORE_URL": url, "XDG_STATE_HOME": t.TempDir(), "LANG": "en_US.UTF-8"}}
}

// loggedIn logs Ana in.
func (m *terminal) loggedIn() *terminal {
	m.t.Helper()
	m.in = input(m.t, "senha-da-ana\n")
	m.wants(0, "login", "52998224725", "--password-stdin")
	return m
}

func input(t *testing.T, text string) *os.File {
	t.Helper()
	path := t.TempDir() + "/in"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

// run runs a command and returns the exit code and what it writes.
func (m *terminal) run(args ...string) (code int, out, problems string) {
	m.t.Helper()
	if m.in == nil {
		m.in = input(m.t, "")
	}
	var stdout, stderr bytes.Buffer
	env := command.Environment{In: m.in, Out: &stdout, Err: &stderr, Getenv: func(name string) string { return m.env[name] }, Version: "test",
		Now: func() time.Time { return m.now },
		Pause: func(_ context.Context, d time.Duration) {
			m.now = m.now.Add(d)
			if m.pause != nil {
				m.pause()
			}
		}}
	if m.out != nil {
		env.Out = m.out
	}
	if m.err != nil {
		env.Err = m.err
	}
	env.Keyring = m.keyring
	code = command.Run(m.ctx, env, args)
	return code, stdout.String(), stderr.String()
}

// wants runs a command that must exit with a code, and returns all that it writes.
func (m *terminal) wants(code int, args ...string) string {
	m.t.Helper()
	got, out, problems := m.run(args...)
	if got != code {
		m.t.Fatalf("bankmore %s exits with %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, problems)
	}
	return out + problems
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in:\n%s", part, text)
		}
	}
}
