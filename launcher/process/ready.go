package process

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// poll is for readiness only: short, and a new connection each time.
var poll = &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// Expect asks url once and returns an error unless the answer has that status.
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
	_, _ = io.Copy(io.Discard, resp.Body) // else the ingress warns of an answer that was aborted
	if resp.StatusCode != status {
		return fmt.Errorf("%s: status %d instead of %d", url, resp.StatusCode, status)
	}
	return nil
}

// Answers is ready when url answers with that status.
func Answers(url string, status int) func(context.Context) error {
	return func(ctx context.Context) error { return Expect(ctx, url, status) }
}

// Listens is ready when somebody accepts connections at address.
func Listens(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}
