package httpapi

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/transfer-svc/transferapi"
)

// witness is a recorder that counts what the handler records or keeps.
type witness struct {
	t        *testing.T
	recorded int
	buried   int
}

func (w *witness) Record(_ context.Context, transfers []fee.Transfer) ([]bool, []error) {
	for _, transfer := range transfers {
		completed := transferapi.Completed{ID: transfer.ID, OriginAccountNumber: transfer.AccountNumber, Amount: transfer.Amount}
		if err := completed.Validate(); err != nil {
			w.t.Errorf("recorded %+v: %v", transfer, err)
		}
	}
	w.recorded += len(transfers)
	return make([]bool, len(transfers)), make([]error, len(transfers))
}

// For any delivery the handler answers 200 without a panic. It says SUCCESS exactly for the events that it has recorded or
// kept as dead letters.
func FuzzDelivery(f *testing.F) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	const event = `{"id":"e","source":"s","specversion":"1.0","type":"t","data":{"id":"0190f3a1-7b00-7000-8000-000000000001",` +
		`"origin_account_number":"18","amount":"150.00","completed_at":"2026-01-02T03:04:05Z"}}`
	for _, seed := range []string{
		event,
		`{"entries":[{"entryId":"0","event":` + event + `},{"entryId":"1","event":null},{"entryId":"2","event":` + event + `}]}`,
		`{"entries":[{"entryId":"0","event":` + strings.Replace(event, "150.00", "-1", 1) + `},{"event":1}]}`,
		`{"entries":[{"entryId":"0","event":"` + base64.StdEncoding.EncodeToString([]byte(event)) + `"}]}`,
		`{"type":"com.dapr.event.sent","data_base64":"` + base64.StdEncoding.EncodeToString([]byte(event)) + `"}`,
		`{"entries":[],"specversion":"1.0"}`, `{"entries":null}`, `{}`, `null`, `[]`, `"`, ``, "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := &witness{t: t}
		s := subscriber{recorder: w, deadLetter: func(context.Context, []byte) error {
			w.buried++
			return nil
		}}
		answer, err := s.completed(httptest.NewRequest(http.MethodPost, CompletedPath, strings.NewReader(string(body))))
		if err != nil || answer.Status != http.StatusOK {
			t.Fatalf("%d, %v", answer.Status, err)
		}
		var got struct {
			Status   string         `json:"status"`
			Statuses []entryVerdict `json:"statuses"`
		}
		if err := json.Unmarshal(answer.Body, &got, json.RejectUnknownMembers(true)); err != nil {
			t.Fatalf("%s: %v", answer.Body, err)
		}
		successes := strings.Count(got.Status, string(success))
		for _, entry := range got.Statuses {
			if entry.Status == success {
				successes++
			}
		}
		if successes != w.recorded+w.buried {
			t.Errorf("%d recorded, %d buried: %s", w.recorded, w.buried, answer.Body)
		}
		// If database and broker are down, the handler consumes nothing.
		away := subscriber{recorder: nobody{}, deadLetter: func(context.Context, []byte) error { return errAway }}
		answer, err = away.completed(httptest.NewRequest(http.MethodPost, CompletedPath, strings.NewReader(string(body))))
		if err != nil || strings.Contains(string(answer.Body), `"status":"SUCCESS"`) {
			t.Errorf("%s, %v", answer.Body, err)
		}
	})
}

type nobody struct{}

func (nobody) Record(_ context.Context, transfers []fee.Transfer) ([]bool, []error) {
	return make([]bool, len(transfers)), slices.Repeat([]error{errAway}, len(transfers))
}

var errAway = errors.New("away")
