// Package client is a client of BankMore's REST API: one method for each operation. The packages below it, which do the work,
// are generated from the services' OpenAPI documents.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/bankmore/bankmore/client/account"
	"github.com/bankmore/bankmore/client/fee"
	"github.com/bankmore/bankmore/client/transfer"
)

// URLs are the base URLs, without a trailing slash, of the three services.
type URLs struct {
	Account, Transfer, Fee string
}

// Ingress returns the URLs of an ingress, which offers the three services at its own base URL.
func Ingress(base string) URLs { return URLs{Account: base, Transfer: base, Fee: base} }

// Client calls the operations that need no token. It is safe for concurrent use.
type Client struct {
	urls     URLs
	http     *http.Client
	account  *account.ClientWithResponses
	transfer *transfer.ClientWithResponses
	fee      *fee.ClientWithResponses
}

// New returns a client that sends its requests through transport, or a transport of its own if that is nil. A request may
// take 60 s.
func New(urls URLs, transport http.RoundTripper) *Client {
	if transport == nil {
		transport = &http.Transport{MaxIdleConns: 512, MaxIdleConnsPerHost: 512, IdleConnTimeout: time.Minute}
	}
	return newClient(urls, &http.Client{Transport: transport, Timeout: 60 * time.Second})
}

func newClient(urls URLs, doer *http.Client) *Client {
	return &Client{
		urls: urls,
		http: doer,
		// The slash keeps the path of the base URL.
		account:  &account.ClientWithResponses{ClientInterface: &account.Client{Server: urls.Account + "/", Client: doer}},
		transfer: &transfer.ClientWithResponses{ClientInterface: &transfer.Client{Server: urls.Transfer + "/", Client: doer}},
		fee:      &fee.ClientWithResponses{ClientInterface: &fee.Client{Server: urls.Fee + "/", Client: doer}},
	}
}

// URLs returns the URLs that the client sends its requests to.
func (c *Client) URLs() URLs { return c.urls }

// Answer is an answer, whatever its status.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Replayed reports whether the answer repeats that of an earlier request with the same key.
func (a Answer) Replayed() bool { return a.Header.Get("Idempotency-Replayed") == "true" }

// Failure is an answer that is not a success. Its Type is empty if it has not the form of our errors, as that of a sidecar.
type Failure struct {
	Answer

	Type    string // such as INSUFFICIENT_BALANCE
	Message string // for people, in Brazilian Portuguese
}

func (f *Failure) Error() string {
	if f.Type == "" {
		return fmt.Sprintf("status %d: %.300s", f.Status, f.Body)
	}
	return fmt.Sprintf("status %d %s: %s", f.Status, f.Type, f.Message)
}

// FailureFrom reads the error in an answer.
func FailureFrom(answer Answer) *Failure {
	failure := &Failure{Answer: answer}
	var body account.Error // the three services have the same form
	decoder := json.NewDecoder(bytes.NewReader(answer.Body))
	decoder.DisallowUnknownFields()
	if decoder.Decode(&body) == nil {
		failure.Type, failure.Message = string(body.Type), body.Message
	}
	return failure
}

func answerOf(resp *http.Response, body []byte) Answer {
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}
}

// success returns what was read of an answer, which is nil unless the answer is the documented success.
func success[T any](read *T, resp *http.Response, body []byte) (T, error) {
	if read == nil {
		return *new(T), FailureFrom(answerOf(resp, body))
	}
	return *read, nil
}

// Send makes one request with exactly this body and these headers. The error is not nil only if no whole answer came.
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
	return answerOf(resp, answer), nil
}

// Register opens an account and returns its number.
func (c *Client) Register(ctx context.Context, cpf, name, password string) (number string, err error) {
	r, err := c.account.RegisterWithResponse(ctx, account.RegisterJSONRequestBody{CPF: cpf, Name: name, Password: password})
	if err != nil {
		return "", err
	}
	out, err := success(r.JSON201, r.HTTPResponse, r.Body)
	return out.AccountNumber, err
}

// Login returns a session of the customer with that CPF.
func (c *Client) Login(ctx context.Context, cpf, password string) (*Session, error) {
	r, err := c.account.LoginWithResponse(ctx, account.LoginJSONRequestBody{CPF: cpf, Password: password})
	if err != nil {
		return nil, err
	}
	out, err := success(r.JSON200, r.HTTPResponse, r.Body)
	if err != nil {
		return nil, err
	}
	return &Session{Client: c, Token: out.Token, Number: out.AccountNumber, Name: out.Name}, nil
}
