// Package client is a typed client of BankMore's REST API, for tests and load.
package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
)

// Doors are the base URLs, without a trailing slash, by which the three services are reached.
type Doors struct {
	Account, Transfer, Fee string
}

// OneDoor reaches the three services through the same base URL, as the ingress offers it.
func OneDoor(base string) Doors { return Doors{Account: base, Transfer: base, Fee: base} }

// Client calls the API. It is safe for concurrent use.
type Client struct {
	doors Doors
	http  *http.Client
}

// New returns a client that sends its requests through transport, or a transport of its own if that is nil.
func New(doors Doors, transport http.RoundTripper) *Client {
	if transport == nil {
		transport = &http.Transport{MaxIdleConns: 512, MaxIdleConnsPerHost: 512, IdleConnTimeout: time.Minute}
	}
	return &Client{doors: doors, http: &http.Client{Transport: transport, Timeout: 60 * time.Second}}
}

// Doors says where the client sends its requests.
func (c *Client) Doors() Doors { return c.doors }

// Answer is what came back, whatever its status.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Replayed reports whether the answer repeats that of an earlier request with the same key.
func (a Answer) Replayed() bool { return a.Header.Get("Idempotency-Replayed") == "true" }

// Failure is an answer that is not a success.
type Failure struct {
	Answer
	Type    string
	Message string
}

func (f *Failure) Error() string {
	if f.Type == "" {
		return fmt.Sprintf("status %d: %.300s", f.Status, f.Body)
	}
	return fmt.Sprintf("status %d %s: %s", f.Status, f.Type, f.Message)
}

// Send makes one request with exactly this body and these headers. The error is not nil only if no answer came.
func (c *Client) Send(ctx context.Context, method, url string, body []byte, header http.Header) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, fmt.Errorf("%s %s: reading the answer: %w", method, url, err)
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: answer}, nil
}

// call sends in as JSON (nothing if nil) and reads a success into out (nothing if nil). Another answer is a *Failure.
func (c *Client) call(ctx context.Context, method, url, token string, in, out any) (Answer, error) {
	header := http.Header{}
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return Answer{}, err
		}
		header.Set("Content-Type", "application/json")
	}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	answer, err := c.Send(ctx, method, url, body, header)
	if err != nil {
		return Answer{}, err
	}
	if answer.Status/100 != 2 {
		return answer, FailureFrom(answer)
	}
	if out != nil {
		if err := json.Unmarshal(answer.Body, out, json.RejectUnknownMembers(true)); err != nil {
			return answer, fmt.Errorf("%s %s: %w: %s", method, url, err, answer.Body)
		}
	}
	return answer, nil
}

// FailureFrom reads the error of an answer. Its type is empty if the answer has not the form of an error.
func FailureFrom(answer Answer) *Failure {
	var body struct {
		Message string `json:"message"`
		Type    string `json:"type"`
	}
	if json.Unmarshal(answer.Body, &body, json.RejectUnknownMembers(true)) != nil {
		body.Type, body.Message = "", ""
	}
	return &Failure{Answer: answer, Type: body.Type, Message: body.Message}
}
