package stack

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Line is a proxy between a program and a server, such as a service and its database. It fails connections when told. Nothing but
// bytes passes: TLS is between the two ends. It is a Server, so that it can be away like one.
type Line struct{ proxy *toxiproxy.Proxy }

var proxies = toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())

// lay opens a line to the server of a database URL and returns the URL by which it is used.
func lay(name, listen, databaseURL string) (*Line, string, error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return nil, "", errors.New("the database URL is none") // the cause would repeat the password
	}
	line := &Line{toxiproxy.NewProxy(proxies, name, listen, u.Host)}
	u.Host = listen
	return line, u.String(), line.listen()
}

// LongLine opens a line to a server (host:port), and returns the line's own address. Each answer takes that much longer.
func LongLine(server string, longer time.Duration) (*Line, string, error) {
	line := &Line{toxiproxy.NewProxy(proxies, "long", loopback(0), server)}
	if err := line.listen(); err != nil {
		return nil, "", err
	}
	toxic := fmt.Sprintf(`{"name":"long","type":"latency","stream":"downstream","attributes":{"latency":%d}}`, longer.Milliseconds())
	if _, err := line.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		return nil, "", errors.Join(err, line.Kill())
	}
	return line, line.proxy.Listen, nil
}

// Kill ends the connections and refuses new ones. It is no error if the line is away already.
func (l *Line) Kill() error {
	l.proxy.Stop()
	return nil
}

// Start lets new connections pass.
func (l *Line) Start(ctx context.Context) error {
	l.proxy.Toxics.ResetToxics(ctx)
	return l.listen()
}

// listen tries for some seconds, since a listener that we have closed may still be there: a program that is just being started has
// a copy of it until it runs.
func (l *Line) listen() error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(pollInterval) {
		err := l.proxy.Start()
		if errors.Is(err, toxiproxy.ErrProxyAlreadyStarted) {
			return nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return err
		}
	}
}

// Cut ends the connections; new ones pass.
func (l *Line) Cut(ctx context.Context) error { return errors.Join(l.Kill(), l.Start(ctx)) }

// LoseAnswers lets pass what the service sends, ends each connection in place of the server's next answer, and goes on
// so with new ones until Start.
func (l *Line) LoseAnswers() error {
	const toxic = `{"name":"lost","type":"limit_data","stream":"downstream","attributes":{"bytes":0}}`
	_, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic))
	return err
}
