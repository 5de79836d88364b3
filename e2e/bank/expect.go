package bank

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/contract"
)

// Key is a fresh idempotency key.
func Key() string { return rand.Text() }

// Eventually repeats check until it succeeds, and ends the test if it does not within limit.
func Eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	if err := Within(limit, check); err != nil {
		t.Fatal(err)
	}
}

// Within repeats check until it succeeds, for as long as limit.
func Within(limit time.Duration, check func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("still after %s: %w", limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// WantFailure checks that err is an answer with that status and type.
func WantFailure(t *testing.T, what string, err error, status int, failureType string) {
	t.Helper()
	if problem := UnlikeFailure(err, status, failureType); problem != "" {
		t.Errorf("%s: %s", what, problem)
	}
}

// UnlikeFailure says how err differs from an answer with that status and type, if it does.
func UnlikeFailure(err error, status int, failureType string) (problem string) {
	var failure *client.Failure
	if !errors.As(err, &failure) || failure.Status != status || failure.Type != failureType {
		return fmt.Sprintf("%v, want %d %s", err, status, failureType)
	}
	return ""
}

// WantAnswer checks an answer to a raw request; failureType is "" for a success.
func WantAnswer(t *testing.T, what string, got client.Answer, status int, failureType string) {
	t.Helper()
	if failure := client.FailureFrom(got); got.Status != status || (status >= http.StatusBadRequest && failure.Type != failureType) {
		t.Errorf("%s: %d %.300s, want %d %s", what, got.Status, got.Body, status, failureType)
	}
	if got.Header.Get("X-Request-ID") == "" {
		t.Errorf("%s: no X-Request-ID", what)
	}
}

// JSONOnly is the headers of a JSON request of nobody.
var JSONOnly = http.Header{"Content-Type": {"application/json"}}

// Send makes a request that may break the contract; its answer must not.
func (b *Bank) Send(t *testing.T, method, url, body string, header http.Header) client.Answer {
	t.Helper()
	answer, err := b.API.Send(contract.BadRequest(t.Context()), method, url, []byte(body), header)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return answer
}
