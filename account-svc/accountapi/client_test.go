package accountapi_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/account-svc/accountapi"
)

// invoker answers every call in the same way.
type invoker struct {
	body string
	err  error
}

func (i invoker) Invoke(_ context.Context, appID, path string, _, out any) error {
	if appID != accountapi.AppID || path != accountapi.MovementsPath {
		return fmt.Errorf("called %s of %s", path, appID)
	}
	if i.err != nil {
		return i.err
	}
	return json.Unmarshal([]byte(i.body), out)
}

// Whatever the ledger answers is exactly one of three. What is neither done nor a refusal with its reason is unknown:
// money moves back only after a refusal.
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
