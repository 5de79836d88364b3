package process

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// poll is the HTTP client for readiness checks. It has a short timeout and opens a new connection each time.
var poll = &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// Expect sends one GET request to url and returns an error unless the answer has that status.
func Expect(ctx context.Context, url string, status int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := poll.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // else the ingress logs a warning about an aborted answer
	if resp.StatusCode != status {
		return fmt.Errorf("%s: status %d instead of %d", url, resp.StatusCode, status)
	}
	return nil
}

// Answers returns a check that succeeds when url answers with that status.
func Answers(url string, status int) func(context.Context) error {
	return func(ctx context.Context) error { return Expect(ctx, url, status) }
}

// Listens returns a check that succeeds when a program accepts connections at address.
func Listens(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}
