package httpapi

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/web"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// Whatever a client sends, the service either reads a valid command or answers with a client error, never with status 500.
func FuzzCommand(f *testing.F) {
	for _, seed := range []string{
		`{"request_id":"1","destination_account_number":"22","amount":"150.00"}`, `{"request_id":"ç||/","destination_account_number":"0","amount":1}`,
		`{"amount":1e400}`, `{"amount":null}`, `{"request_id":"\ud800"}`, `{`, ``, `null`, `{"request_id":"1","destination_account_number":"11","amount":0.1}`,
	} {
		f.Add(seed, "")
		f.Add(seed, `"1"`)
	}
	digits := regexp.MustCompile(`^[0-9]{1,10}$`)
	origin := transfer.Party{AccountID: "ana", AccountNumber: "11"}
	f.Fuzz(func(t *testing.T, body, key string) {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", key)
		c, err := commandFrom(r, origin)
		if err != nil {
			if kind := fault.From(err).Kind; kind != fault.Invalid && kind != fault.TooLarge {
				t.Errorf("%q: kind %d: %v", body, kind, err)
			}
			return
		}
		if c.Amount < 1 || !digits.MatchString(c.Destination) || c.Destination == "11" || c.Origin != origin || c.Fingerprint == "" ||
			!web.Visible(c.RequestID, 1, web.MaxRequestIDRunes) {
			t.Errorf("%q makes %+v", body, c)
		}
	})
}
