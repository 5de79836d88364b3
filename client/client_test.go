package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/bankmore/bankmore/client"
)

// sessionAt returns a session whose client sends its requests to handler, by a base URL that has a path.
func sessionAt(t *testing.T, handler http.HandlerFunc) *client.Session {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &client.Session{Client: client.New(client.Ingress(server.URL+"/base"), nil), Token: "the-token", Number: "7907027952"}
}

// answering returns a handler that always gives the same answer.
func answering(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Idempotency-Replayed", "true")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestRequest(t *testing.T) {
	var got string
	s := sessionAt(t, func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		got = fmt.Sprintf("%s %s %s %s %v", req.Method, req.URL.RequestURI(), req.Header.Get("Authorization"), body, err)
		http.Error(w, "", http.StatusTeapot)
	})
	const by = " Bearer the-token "
	for want, send := range map[string]func() error{
		`POST /base/api/account/movement` + by + `{"account_number":"7907027952","amount":"10.00","request_id":"k","type":"C"} <nil>`: func() error {
			_, err := s.Move(t.Context(), "k", client.Credit, "10.00")
			return err
		},
		`POST /base/api/transfer` + by + `{"amount":"10.00","destination_account_number":"1048576021","request_id":"k"} <nil>`: func() error {
			_, err := s.Transfer(t.Context(), "k", "1048576021", "10.00")
			return err
		},
		`GET /base/api/account/statement` + by + ` <nil>`: func() error {
			_, err := s.Statement(t.Context(), client.Query{})
			return err
		},
		`GET /base/api/account/statement?cursor=a%2Fb&limit=7&from=2026-11-22&to=2026-11-23` + by + ` <nil>`: func() error {
			_, err := s.Statement(t.Context(), client.Query{Cursor: "a/b", Limit: 7, From: "2026-11-22", To: "2026-11-23"})
			return err
		},
		`GET /base/api/transfer/a%2Fb` + by + ` <nil>`: func() error {
			_, err := s.TransferByID(t.Context(), "a/b")
			return err
		},
		`POST /base/api/account/login  {"cpf":"52998224725","password":"p"} <nil>`: func() error {
			_, err := s.Login(t.Context(), "52998224725", "p")
			return err
		},
	} {
		var failure *client.Failure
		if err := send(); !errors.As(err, &failure) || failure.Status != http.StatusTeapot {
			t.Errorf("%s: %v, want the answer's status", want, err)
		}
		if got != want {
			t.Errorf("sent %s\nwant %s", got, want)
		}
	}
}

func TestFailure(t *testing.T) {
	const json = "application/json"
	for what, test := range map[string]struct {
		status            int
		contentType, body string
		failureType, text string
	}{
		"a documented error":              {400, json, `{"message":"Saldo insuficiente.","type":"INSUFFICIENT_BALANCE"}`, "INSUFFICIENT_BALANCE", "status 400 INSUFFICIENT_BALANCE: Saldo insuficiente."},
		"a status that is not documented": {418, json, `{"message":"m","type":"NOT_FOUND"}`, "NOT_FOUND", "status 418 NOT_FOUND: m"},
		"a sidecar's error":               {500, json, `{"errorCode":"ERR_DIRECT_INVOKE","message":"m"}`, "", `status 500: {"errorCode":"ERR_DIRECT_INVOKE","message":"m"}`},
		"a proxy's error":                 {502, "text/html", `<html>`, "", "status 502: <html>"},
		"a success of another kind":       {200, "text/plain", "ok", "", "status 200: ok"},
	} {
		t.Run(what, func(t *testing.T) {
			s := sessionAt(t, answering(test.status, test.contentType, test.body))
			_, balanceErr := s.Balance(t.Context())
			_, moveErr := s.Move(t.Context(), "k", client.Debit, "1.00")
			receipt, transferErr := s.Transfer(t.Context(), "k", "1048576021", "1.00")
			for _, err := range []error{balanceErr, moveErr, transferErr, s.Deactivate(t.Context(), "p")} {
				var failure *client.Failure
				if !errors.As(err, &failure) || failure.Status != test.status || failure.Type != test.failureType || failure.Error() != test.text {
					t.Errorf("%v, want %s", err, test.text)
				}
			}
			if receipt.HTTPStatus != test.status || !receipt.Replayed {
				t.Errorf("receipt %+v", receipt)
			}
		})
	}
}

func TestTransferThatHasNotEnded(t *testing.T) {
	s := sessionAt(t, answering(http.StatusAccepted, "application/json", `{"transfer_id":"i","message":"m","status":"PENDING",
		"origin_account_number":"1","destination_account_number":"2","amount":"1.00"}`))
	receipt, err := s.Transfer(t.Context(), "k", "2", "1.00")
	if err != nil || receipt.Status != client.Pending || receipt.TransferID != "i" || receipt.HTTPStatus != http.StatusAccepted {
		t.Errorf("%+v, %v", receipt, err)
	}
}

// Null is "" in the last page's cursor and in what a movement has not.
func TestAll(t *testing.T) {
	s := sessionAt(t, func(w http.ResponseWriter, req *http.Request) {
		next := map[string]string{"": `"2"`, "2": `"3"`, "3": "null"}[req.URL.Query().Get("cursor")]
		answering(http.StatusOK, "application/json", `{"items":[{"id":`+fmt.Sprintf("%q", "before "+next)+`,"transfer_id":null}],"next_cursor":`+next+`}`)(w, req)
	})
	all, err := client.All(t.Context(), 1, s.Statement)
	if err != nil || len(all) != 3 || all[2].ID != "before null" || all[2].TransferID != "" {
		t.Errorf("%+v, %v", all, err)
	}
}

// A list that comes faster than the server allows waits as long as the server says.
func TestAllWaits(t *testing.T) {
	asked := 0
	hurried := func(after string) *client.Session {
		asked = 0
		return sessionAt(t, func(w http.ResponseWriter, req *http.Request) {
			if asked++; asked == 2 || asked == 3 {
				w.Header().Set("Retry-After", after)
				answering(http.StatusTooManyRequests, "application/json", `{"type":"RATE_LIMITED","message":"m"}`)(w, req)
				return
			}
			next := map[string]string{"": `"2"`, "2": "null"}[req.URL.Query().Get("cursor")]
			answering(http.StatusOK, "application/json", `{"items":[{"id":"i"}],"next_cursor":`+next+`}`)(w, req)
		})
	}
	began := time.Now()
	all, err := client.All(t.Context(), 1, hurried("1").Statement)
	if err != nil || len(all) != 2 || asked != 4 || time.Since(began) < 2*time.Second {
		t.Errorf("%d items by %d requests after %s, %v", len(all), asked, time.Since(began), err)
	}
	all, err = client.All(t.Context(), 1, hurried("3600").Statement)
	var failure *client.Failure
	if !errors.As(err, &failure) || failure.Status != http.StatusTooManyRequests || len(all) != 1 || asked != 2 {
		t.Errorf("if the wait is too long: %d items by %d requests, %v", len(all), asked, err)
	}
}
