package accountapi_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/money"
)

// invoker answers every call in the same way.
type invoker struct {
	body string
	err  error
}

func (i invoker) Invoke(_ context.Context, appID, path string, _, out any) error {
	if appID != accountapi.AppID || path != accountapi.MovementsPath && path != accountapi.BalancesPath {
		return fmt.Errorf("called %s of %s", path, appID)
	}
	if i.err != nil {
		return i.err
	}
	return json.Unmarshal([]byte(i.body), out)
}

// Move turns every answer of the ledger into one of three: done, refused or unknown. An answer that is neither done nor a
// refusal with a type is unknown, since a refund may follow a refusal only.
func TestMove(t *testing.T) {
	const done, refusal, unknown = "done", "refusal", "unknown"
	away := errors.New("connection reset")
	for name, test := range map[string]struct {
		ledger   invoker
		want     string
		replayed bool
	}{
		"applied":                     {invoker{body: `{"results":[{"status":"applied"}]}`}, done, false},
		"applied before":              {invoker{body: `{"results":[{"status":"applied","replayed":true}]}`}, done, true},
		"refused":                     {invoker{body: `{"results":[{"status":"refused","type":"INACTIVE_ACCOUNT","message":"Conta inativa."}]}`}, refusal, false},
		"refused before":              {invoker{body: `{"results":[{"status":"refused","type":"INACTIVE_ACCOUNT","message":"Conta inativa.","replayed":true}]}`}, refusal, true},
		"refused without a type":      {invoker{body: `{"results":[{"status":"refused","message":"Conta inativa."}]}`}, unknown, false},
		"rejected":                    {invoker{body: `{"results":[{"status":"rejected","type":"IDEMPOTENCY_CONFLICT","message":"não"}]}`}, unknown, false},
		"a status of the future":      {invoker{body: `{"results":[{"status":"deferred","type":"INACTIVE_ACCOUNT"}]}`}, unknown, false},
		"a status in capital letters": {invoker{body: `{"results":[{"status":"APPLIED"}]}`}, unknown, false},
		"an empty status":             {invoker{body: `{"results":[{"status":"","type":"INACTIVE_ACCOUNT"}]}`}, unknown, false},
		"an empty result":             {invoker{body: `{"results":[{}]}`}, unknown, false},
		"too few results":             {invoker{body: `{"results":[]}`}, unknown, false},
		"too many results":            {invoker{body: `{"results":[{"status":"applied"},{"status":"applied"}]}`}, unknown, false},
		"no results":                  {invoker{body: `{}`}, unknown, false},
		"no JSON":                     {invoker{body: `<html>`}, unknown, false},
		"an error":                    {invoker{err: away}, unknown, false},
	} {
		t.Run(name, func(t *testing.T) {
			client := accountapi.NewClient(test.ledger)
			defer client.Close()
			got, err := client.Move(t.Context(), accountapi.Movement{RequestID: "t1:credit"})
			kind := done
			switch {
			case err != nil && got != (accountapi.Outcome{}):
				t.Errorf("an outcome beside the error: %+v", got)
			case err != nil:
				kind = unknown
			case got.Refusal != nil:
				kind = refusal
			}
			if kind != test.want || got.Replayed != test.replayed {
				t.Errorf("got %s: %+v, %v", kind, got, err)
			}
			if test.ledger.err != nil && !errors.Is(err, away) {
				t.Errorf("the cause is gone from: %v", err)
			}
			if test.want == refusal && (got.Refusal == nil || got.Refusal.Type != "INACTIVE_ACCOUNT" || got.Refusal.Message != "Conta inativa.") {
				t.Errorf("refused with %+v", got.Refusal)
			}
		})
	}
}

// Only a definitive answer to Then is one: anything else leaves Then out, and leaves the answer to the movement as it is.
func TestMoveThen(t *testing.T) {
	for name, test := range map[string]struct {
		then string // of the ledger's answer
		want *accountapi.Outcome
	}{
		"applied":                {`{"status":"applied"}`, &accountapi.Outcome{}},
		"applied before":         {`{"status":"applied","replayed":true}`, &accountapi.Outcome{Replayed: true}},
		"refused":                {`{"status":"refused","type":"INACTIVE_ACCOUNT","message":"Conta inativa."}`, &accountapi.Outcome{Refusal: accountapi.InactiveAccount}},
		"not decided":            {`null`, nil},
		"refused without a type": {`{"status":"refused"}`, nil},
		"unknown":                {`{"status":"unknown","type":"SERVICE_UNAVAILABLE"}`, nil},
		"rejected":               {`{"status":"rejected","type":"IDEMPOTENCY_CONFLICT"}`, nil},
		"empty":                  {`{}`, nil},
	} {
		client := accountapi.NewClient(invoker{body: `{"results":[{"status":"applied","then":` + test.then + `}]}`})
		got, err := client.Move(t.Context(), accountapi.Movement{RequestID: "t1:debit"})
		if diff := cmp.Diff(accountapi.Outcome{Then: test.want}, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
		client.Close()
	}
}

// If the answer does not fit the question, Balances fails and returns no standing.
func TestBalances(t *testing.T) {
	questions := []accountapi.BalanceQuestion{{AccountNumber: "18", RequestIDs: []string{"a", "b"}}, {AccountNumber: "26"}}
	for name, test := range map[string]struct {
		ledger invoker
		want   string
	}{
		"good": {
			invoker{body: `{"accounts":[{"account_number":"18","active":true,"balance":"1.50","decided":["b"]},{"account_number":"26","active":false,"balance":"0.00"}]}`},
			"[{18 true 1.50 [b]} {26 false 0.00 []}] <nil>",
		},
		"too few":       {invoker{body: `{"accounts":[{"account_number":"18","active":true,"balance":"1.50"}]}`}, "[] asked about 2 accounts, got 1 answers"},
		"another order": {invoker{body: `{"accounts":[{"account_number":"26"},{"account_number":"18"}]}`}, "[] answer 0 is about another account"},
		"an error":      {invoker{err: errors.New("connection reset")}, "[] connection reset"},
	} {
		client := accountapi.NewClient(test.ledger)
		standings, err := client.Balances(t.Context(), questions)
		if got := fmt.Sprint(standings, " ", err); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
		client.Close()
	}
}

// hung is an account-svc that never answers. It counts the calls that wait for it.
type hung struct{ waiting, most atomic.Int32 }

func (h *hung) Invoke(ctx context.Context, _, _ string, _, _ any) error {
	now := h.waiting.Add(1)
	defer h.waiting.Add(-1)
	for most := h.most.Load(); now > most && !h.most.CompareAndSwap(most, now); most = h.most.Load() {
	}
	<-ctx.Done()
	return ctx.Err()
}

// While account-svc hangs, a caller without a deadline waits for at most two flights of 5 s: the one before its own, and its
// own. Two calls wait for account-svc, however many callers there are.
func TestHungLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := new(hung)
		client := accountapi.NewClient(ledger)
		defer client.Close()
		began := time.Now()
		var all sync.WaitGroup
		for i := range accountapi.MaxMovements {
			all.Go(func() {
				if _, err := client.Move(t.Context(), accountapi.Movement{RequestID: fmt.Sprint(i)}); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Move = %v, want a deadline error", err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the callers waited %s", took)
		}
		if n := ledger.most.Load(); n > 2 {
			t.Errorf("%d calls waited at the same time", n)
		}
		began = time.Now()
		if _, err := client.Balances(t.Context(), nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
			t.Errorf("Balances = %v after %s", err, time.Since(began))
		}
	})
}

// timed is an account-svc whose calls take as long as its first command's amount says, in milliseconds. It notes when each call
// began, and how many commands it had.
type timed struct {
	mu    sync.Mutex
	began time.Time
	calls []string
}

func (s *timed) Invoke(_ context.Context, _, _ string, in, out any) error {
	commands := in.(accountapi.Movements).Commands
	s.mu.Lock()
	s.calls = append(s.calls, fmt.Sprintf("%d after %s", len(commands), time.Since(s.began)))
	s.mu.Unlock()
	time.Sleep(time.Duration(commands[0].Amount) * time.Millisecond)
	results := make([]accountapi.MovementResult, len(commands))
	for i := range results {
		results[i].Status = accountapi.StatusApplied
	}
	out.(*accountapi.MovementResults).Results = results
	return nil
}

// Movements that arrive during a call share the next one. If the call takes long, they leave beside it.
func TestASecondCallLeavesOnlyIfTheFirstTakesLong(t *testing.T) {
	for name, test := range map[string]struct {
		first int // milliseconds
		want  []string
	}{
		"quick": {5, []string{"1 after 0s", "3 after 5ms"}},
		"slow":  {1000, []string{"1 after 0s", "3 after 25ms"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ledger := &timed{began: time.Now()}
				client := accountapi.NewClient(ledger)
				defer client.Close()
				var all sync.WaitGroup
				for i := range 4 {
					all.Go(func() {
						time.Sleep(time.Duration(i) * time.Millisecond)
						m := accountapi.Movement{RequestID: fmt.Sprint(i), Amount: 1}
						if i == 0 {
							m.Amount = money.Cents(test.first)
						}
						if _, err := client.Move(t.Context(), m); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				if diff := cmp.Diff(test.want, ledger.calls); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
			})
		})
	}
}
