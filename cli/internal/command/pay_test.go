package command_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// four answers are lost: that of the command, and those of its three repetitions.
var four = []func(http.ResponseWriter, *http.Request) bool{lost, lost, lost, lost}

// Every kind of payment: after lost answers, the same command pays nothing more; after that it is another payment.
func TestRepeatedCommandPaysOnce(t *testing.T) {
	for _, args := range [][]string{{"transfer", "1048576021", "150.00"}, {"deposit", "150.00"}, {"withdraw", "150,00"}} {
		t.Run(args[0], func(t *testing.T) {
			b := newBank(t)
			m := atTerminal(t, b.URL).loggedIn()
			b.then(four...)
			contains(t, m.wants(6, args...), "Sending it again, with the same key", "Repeat the same command")
			if b.made() != 1 || len(b.asked()) != 4 {
				t.Fatalf("%d payments by %d requests", b.made(), len(b.asked()))
			}
			contains(t, m.wants(0, args...), "there was one payment")
			if b.made() != 1 {
				t.Fatalf("the repetition has paid: %q", b.payments())
			}
			if out := m.wants(0, args...); strings.Contains(out, "repetition") {
				t.Errorf("another payment says: %s", out)
			}
			if b.made() != 2 {
				t.Errorf("%d payments after the second wanted one", b.made())
			}
		})
	}
}

// The command itself sends the payment again, with the same key, when an answer is lost.
func TestLostAnswerIsAskedForAgain(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	b.then(lost, answers(503, "INTERNAL_ERROR"), answers(409, "REQUEST_IN_PROGRESS"))
	out := m.wants(0, "transfer", "1048576021", "150.00")
	contains(t, out, "R$ 150.00 transferred to account 1048576021", "HTTP 503", "HTTP 409")
	if b.made() != 1 || len(b.asked()) != 4 {
		t.Errorf("%d payments by %d requests", b.made(), len(b.asked()))
	}
}

// The key is on the disk before the request is sent: whatever ends the program then, the repetition has the key.
func TestKeyIsOnDiskFirst(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	var kept string
	b.then(func(http.ResponseWriter, *http.Request) bool {
		for _, path := range m.payments() {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Error(err)
			}
			kept += string(text)
		}
		return false
	})
	m.wants(0, "transfer", "1048576021", "150.00")
	if b.made() != 1 || !strings.Contains(kept, `"key":"`+b.payments()[0]+`"`) {
		t.Errorf("on disk: %s, sent: %q", kept, b.payments())
	}
	if left := m.payments(); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// payments are the files of the keys.
func (m *terminal) payments() []string {
	m.t.Helper()
	paths, err := filepath.Glob(m.env["XDG_STATE_HOME"] + "/bankmore/payments/*.json")
	if err != nil {
		m.t.Fatal(err)
	}
	return paths
}

// Where the key cannot be kept, nothing is sent.
func TestNothingIsSentWithoutKey(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	if err := os.WriteFile(m.env["XDG_STATE_HOME"]+"/bankmore/payments", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	contains(t, m.wants(1, "transfer", "1048576021", "150.00"), "Nothing was sent")
	if len(b.asked()) != 0 {
		t.Error("the bank was asked")
	}
}

// What differs in anything is another payment.
func TestOtherPaymentsHaveOtherKeys(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	b.then(four...)
	m.wants(6, "transfer", "1048576021", "150.00")
	m.wants(0, "transfer", "1048576021", "150.01")
	m.wants(0, "transfer", "1048576039", "150.00")
	m.wants(0, "withdraw", "150.00")
	if b.made() != 4 {
		t.Errorf("%d payments", b.made())
	}
	contains(t, m.wants(0, "transfer", "1048576021", "150"), "there was one payment") // the same amount, written otherwise
	if b.made() != 4 {
		t.Errorf("%d payments after the repetition", b.made())
	}
}

// 15 minutes after the last try, nobody can tell a repetition from another payment: the payer says which it is.
func TestOldPaymentIsDecidedByThePayer(t *testing.T) {
	for choice, want := range map[string]int{"repeat": 1, "forget": 2} {
		t.Run(choice, func(t *testing.T) {
			b := newBank(t)
			m := atTerminal(t, b.URL).loggedIn()
			b.then(four...)
			m.wants(6, "transfer", "1048576021", "150.00")
			b.then(four...)
			m.now = m.now.Add(14 * time.Minute)
			m.wants(6, "transfer", "1048576021", "150.00") // still a repetition, and a try
			m.now = m.now.Add(14 * time.Minute)
			b.then(four...)
			m.wants(6, "transfer", "1048576021", "150.00")
			m.now = m.now.Add(15 * time.Minute)
			asked := len(b.asked())
			contains(t, m.wants(7, "transfer", "1048576021", "150.00"), "pending repeat", "pending forget")
			if len(b.asked()) != asked {
				t.Fatal("the bank was asked")
			}
			var pending struct{ Items []struct{ ID, Key string } }
			if err := json.Unmarshal([]byte(m.wants(0, "pending", "--json")), &pending); err != nil || len(pending.Items) != 1 || pending.Items[0].Key != b.payments()[0] {
				t.Fatalf("%+v, %v", pending, err)
			}
			m.wants(2, "pending", choice, "another")
			m.wants(0, "pending", choice, pending.Items[0].ID)
			if choice == "forget" {
				m.wants(0, "transfer", "1048576021", "150.00")
			}
			if b.made() != want {
				t.Errorf("%d payments, want %d", b.made(), want)
			}
			contains(t, m.wants(0, "pending"), "no payment whose outcome is not known")
			m.wants(2, "pending", "repeat", pending.Items[0].ID)
		})
	}
}

// A clock that was set back decides nothing either.
func TestPaymentOfTheFutureIsDecidedByThePayer(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	b.then(four...)
	m.wants(6, "deposit", "1.00")
	m.now = m.now.Add(-time.Hour)
	m.wants(7, "deposit", "1.00")
}

// Refused or never sent: the same command is a new payment.
func TestDecidedPaymentLeavesNoKey(t *testing.T) {
	for what, test := range map[string]struct {
		next func(http.ResponseWriter, *http.Request) bool
		code int
		says string
	}{
		"refused":        {answers(400, "INSUFFICIENT_BALANCE"), 3, "The balance is not enough."},
		"conflict":       {answers(422, "IDEMPOTENCY_CONFLICT"), 3, "This key was used for another payment."},
		"someone else's": {answers(403, "INVALID_OPERATION"), 3, "This is not allowed."},
	} {
		t.Run(what, func(t *testing.T) {
			b := newBank(t)
			m := atTerminal(t, b.URL).loggedIn()
			b.then(test.next)
			contains(t, m.wants(test.code, "transfer", "1048576021", "150.00"), test.says)
			if len(m.payments()) != 0 || len(b.asked()) != 1 {
				t.Errorf("keys %q after %d requests", m.payments(), len(b.asked()))
			}
			if out := m.wants(0, "transfer", "1048576021", "150.00"); strings.Contains(out, "repetition") || b.asked()[0] == b.asked()[1] {
				t.Errorf("keys %q: %s", b.asked(), out)
			}
		})
	}
}

// Too many requests: a delivery before may have paid, so the same command is a repetition.
func TestTooManyRequestsKeepTheKey(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	b.then(answers(429, "RATE_LIMITED"))
	contains(t, m.wants(6, "transfer", "1048576021", "150.00"), "Too many requests")
	contains(t, m.wants(0, "transfer", "1048576021", "150.00"), "repetition")
	if keys := b.asked(); len(keys) != 2 || keys[0] != keys[1] || b.made() != 1 {
		t.Errorf("%d payments, keys %q", b.made(), keys)
	}
}

// A token that had ended before the request was sent has paid nothing: the key goes. One that may have been good for a delivery
// whose answer a sidecar lost, has perhaps paid: the key stays.
func TestRefusedTokenKeepsTheKeyUnlessItHadEnded(t *testing.T) {
	for what, test := range map[string]struct {
		left time.Duration // to the token's end
		kind string
		kept bool
	}{
		"ended":                           {-time.Hour, "INVALID_TOKEN", false},
		"ended, and the header is gone":   {-time.Hour, "USER_UNAUTHORIZED", false},
		"ends between two deliveries":     {0, "INVALID_TOKEN", true},
		"ended, by a clock that is ahead": {-30 * time.Second, "INVALID_TOKEN", true},
		"good, by this clock":             {time.Hour, "INVALID_TOKEN", true},
	} {
		t.Run(what, func(t *testing.T) {
			b := newBank(t)
			m := atTerminal(t, b.URL)
			b.token = tokenUntil(m.now.Add(test.left))
			m.loggedIn()
			b.then(answers(map[string]int{"INVALID_TOKEN": 403, "USER_UNAUTHORIZED": 401}[test.kind], test.kind))
			contains(t, m.wants(4, "transfer", "1048576021", "150.00"), "bankmore login")
			if kept := len(m.payments()) == 1; kept != test.kept {
				t.Errorf("the key is kept: %t, want %t", kept, test.kept)
			}
			m.wants(0, "transfer", "1048576021", "150.00")
			if keys := b.asked(); len(keys) != 2 || (keys[0] == keys[1]) != test.kept {
				t.Errorf("keys %q", keys)
			}
		})
	}
}

// A token whose end cannot be read may have been good.
func TestKeyStaysIfTheTokenSaysNothing(t *testing.T) {
	for _, token := range []string{"opaque", "a.b.c", "e30.e30.e30"} {
		b := newBank(t)
		b.token = token
		m := atTerminal(t, b.URL).loggedIn()
		b.then(answers(403, "INVALID_TOKEN"))
		m.wants(4, "transfer", "1048576021", "150.00")
		if len(m.payments()) != 1 {
			t.Errorf("%s: the key is gone", token)
		}
	}
}

// What refuses a repetition without a look at its key does not decide the payment.
func TestOnlyALookAtTheKeyDecides(t *testing.T) {
	for kind, want := range map[string]struct {
		status, code, keys int
	}{
		"NOT_FOUND":            {404, 6, 1},
		"INVALID_ARGUMENT":     {400, 6, 1},
		"INSUFFICIENT_BALANCE": {400, 3, 0},
	} {
		t.Run(kind, func(t *testing.T) {
			b := newBank(t)
			m := atTerminal(t, b.URL).loggedIn()
			b.then(lost, answers(want.status, kind))
			m.wants(want.code, "transfer", "1048576021", "150.00")
			if keys := m.payments(); len(keys) != want.keys {
				t.Errorf("keys %q", keys)
			}
		})
	}
}

// A key that cannot be removed stays, and the payment is made all the same.
func TestKeyThatStays(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	b.then(func(http.ResponseWriter, *http.Request) bool {
		paths, err := filepath.Glob(m.env["XDG_STATE_HOME"] + "/bankmore/payments/*.json")
		if err != nil || len(paths) != 1 {
			t.Fatal(paths, err)
		}
		// A folder in the file's place, with something in it, cannot be removed, whoever tries.
		if err := errors.Join(os.Remove(paths[0]), os.MkdirAll(paths[0]+"/x", 0o700)); err != nil {
			t.Error(err)
		}
		return false
	})
	contains(t, m.wants(0, "transfer", "1048576021", "150.00"), "its key has stayed")
	if b.made() != 1 {
		t.Errorf("%d payments", b.made())
	}
}

// A token that has ended after a lost answer does not lose the key.
func TestKeyOutlivesTheToken(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	b.then(lost, answers(403, "INVALID_TOKEN"))
	contains(t, m.wants(4, "transfer", "1048576021", "150.00"), "bankmore login", "Then repeat the command")
	m.wants(0, "logout")
	m.wants(4, "transfer", "1048576021", "150.00")
	m.loggedIn()
	contains(t, m.wants(0, "transfer", "1048576021", "150.00"), "there was one payment")
	if b.made() != 1 {
		t.Errorf("%d payments", b.made())
	}
}

func TestBankIsDown(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	b.then(four...)
	m.wants(6, "transfer", "1048576021", "150.00")
	b.Close()
	contains(t, m.wants(5, "balance"), "The bank does not answer at "+b.URL)
	contains(t, m.wants(5, "deposit", "1.00"), "refused. Nothing was paid.")
	contains(t, m.wants(6, "transfer", "1048576021", "150.00"), "Repeat the same command") // it may have been paid before
	if len(m.payments()) != 1 {
		t.Errorf("keys %q", m.payments())
	}
}

// Whoever answers without our form, such as a proxy, has not said what became of the payment.
func TestAnswerOfAStranger(t *testing.T) {
	stranger := func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "<html>", http.StatusForbidden)
		return true
	}
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	b.then(stranger, stranger, stranger, stranger)
	contains(t, m.wants(6, "transfer", "1048576021", "150.00"), "is BANKMORE_URL right?")
	if len(m.payments()) != 1 {
		t.Error("the key is gone")
	}
}

// A key of the caller's own is sent as it is, and nothing is kept. The outcome says if the bank knows the key already.
func TestOwnKey(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	for _, repeated := range []string{"false", "true"} {
		contains(t, m.wants(0, "transfer", "1048576021", "150.00", "--json", "--key", "aluguel || /2026-11"), `"repeated":`+repeated)
		contains(t, m.wants(0, "deposit", "1.00", "--json", "--key", "salário"), `"repeated":`+repeated)
	}
	contains(t, m.wants(0, "deposit", "1.00", "--key", "salário"), "give another key")
	if b.made() != 2 || b.payments()[0] != "aluguel || /2026-11" || len(m.payments()) != 0 {
		t.Errorf("paid %q, kept %q", b.paid, m.payments())
	}
	for _, key := range []string{" a", "a\n", "\xff", strings.Repeat("a", 256)} {
		m.wants(2, "transfer", "1048576021", "150.00", "--key", key)
	}
}

// An answer that nobody could read is told again.
func TestOutputThatCannotBeWritten(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	m.out = broken{}
	contains(t, m.wants(1, "balance"), "could not be written")
	contains(t, m.wants(6, "transfer", "1048576021", "150.00"), "could not be shown")
	m.out = nil
	contains(t, m.wants(0, "transfer", "1048576021", "150.00"), "there was one payment")
	if b.made() != 1 {
		t.Errorf("%d payments", b.made())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestInterrupted(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	ctx, cancel := context.WithCancel(t.Context())
	m.ctx = ctx
	b.then(func(_ http.ResponseWriter, req *http.Request) bool {
		cancel()
		<-req.Context().Done()
		return false
	})
	contains(t, m.wants(6, "transfer", "1048576021", "150.00"), "Interrupted", "Repeat the same command")
	contains(t, m.wants(130, "balance"), "Interrupted")
	contains(t, m.wants(130, "deposit", "5.00"), "Interrupted")
	if b.made() != 1 {
		t.Errorf("%d payments", b.made())
	}
}

// Two equal commands at the same time are two payments, as they would be one after the other.
func TestEqualCommandsWaitForEachOther(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	inside := make(chan struct{})
	b.then(func(http.ResponseWriter, *http.Request) bool {
		close(inside)
		time.Sleep(100 * time.Millisecond)
		return false
	})
	other := *m
	var both sync.WaitGroup
	both.Go(func() { m.wants(0, "deposit", "10.00") })
	<-inside
	both.Go(func() { other.wants(0, "deposit", "10.00") })
	both.Wait()
	if b.made() != 2 {
		t.Errorf("%d payments", b.made())
	}
}

func TestTransferThatHasNotEnded(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	b.then(accepted)
	contains(t, m.wants(6, "transfer", "1048576021", "150.00"), "is being processed", "has not ended yet")
	contains(t, m.wants(0, "transfer", "1048576021", "150.00"), "there was one payment") // with the same key
	if b.asked()[0] != b.asked()[1] {
		t.Errorf("keys %q", b.asked())
	}
}

func polls(status ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		now := status[0]
		if len(status) > 1 {
			status = status[1:]
		}
		if now == "" {
			refuse(w, 503, "INTERNAL_ERROR", "m")
			return
		}
		if now == "403" {
			refuse(w, 403, "INVALID_TOKEN", "m")
			return
		}
		failure := any(nil)
		if now == "FAILED" {
			failure = "INACTIVE_ACCOUNT"
		}
		answer(w, 200, map[string]any{"id": "t-1", "request_id": "k", "origin_account_number": "7907027952", "destination_account_number": "1048576021",
			"amount": "150.00", "status": now, "failure_type": failure, "created_at": "2026-11-22T21:30:00Z", "completed_at": nil})
	}
}

func TestWatch(t *testing.T) {
	for what, test := range map[string]struct {
		polls []string
		code  int
		says  string
		keys  int // that are kept
	}{
		"completed":       {[]string{"PENDING", "", "COMPLETED"}, 0, "R$ 150.00 transferred", 0},
		"failed":          {[]string{"PENDING", "FAILED"}, 3, "the money is in the account: The account is closed.", 0},
		"not in time":     {[]string{"PENDING"}, 6, "has not ended yet", 1},
		"away":            {[]string{""}, 6, "has not ended yet", 1},
		"token has ended": {[]string{"403"}, 4, "Then repeat the command", 1},
	} {
		t.Run(what, func(t *testing.T) {
			b := newBank(t)
			m := atTerminal(t, b.URL).loggedIn()
			b.then(accepted)
			b.poll = polls(test.polls...)
			contains(t, m.wants(test.code, "transfer", "1048576021", "150.00", "--watch", "--timeout", "5s"), test.says)
			if len(m.payments()) != test.keys {
				t.Errorf("keys %q", m.payments())
			}
		})
	}
}

// However long the program watches, the same command right after is a repetition.
func TestRepetitionAfterALongWatch(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	b.then(accepted)
	b.poll = polls("PENDING")
	m.wants(6, "transfer", "1048576021", "150.00", "--watch", "--timeout", "20m")
	m.now = m.now.Add(-30 * time.Second) // the clock is set
	contains(t, m.wants(0, "transfer", "1048576021", "150.00"), "repetition")
}

func TestWatchInterrupted(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	ctx, cancel := context.WithCancel(t.Context())
	m.ctx, m.pause = ctx, cancel
	b.then(accepted)
	contains(t, m.wants(6, "transfer", "1048576021", "150.00", "--watch"), "Interrupted", "t-1", "Repeat the same command")
	if len(m.payments()) != 1 {
		t.Error("the key is gone")
	}
}

// Whatever a server says, the terminal takes none of it for a command.
func TestTerminalTakesNoCommands(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	const evil = "\u009b2J\x1b]52;c;x\x07"
	b.then(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		if err := json.NewEncoder(w).Encode(map[string]any{
			"transfer_id": evil, "status": "COMPLETED", "amount": "150.00", "origin_account_number": evil, "destination_account_number": evil,
			"created_at": "2026-11-22T21:30:00Z", "completed_at": "2026-11-22T21:30:00Z",
		}); err != nil {
			t.Error(err)
		}
		return true
	}, func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Request-ID", "\u009b2J")
		w.WriteHeader(http.StatusBadRequest)
		_, err := w.Write([]byte(`{"type":"X\u001b[2J","message":"Y\u001b[2J"}`))
		if err != nil {
			t.Error(err)
		}
		return true
	})
	for range 2 {
		_, out, problems := m.run("transfer", "1048576021", "150.00")
		if all := out + problems; all == "" || strings.ContainsAny(all, "\x1b\x07\u009b") {
			t.Errorf("%q", all)
		}
	}
}
