// Package sidecar is a service's way to its own Dapr sidecar: service invocation over HTTP, state and publishing over
// gRPC with the Dapr SDK. Nothing here blocks at start. While the sidecar does not answer, calls and Ready return errors.
package sidecar

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	dapr "github.com/dapr/go-sdk/client"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"

	"github.com/bankmore/bankmore/platform/telemetry"
)

// Config says where the sidecar listens. Dapr sets the ports in its app's environment.
type Config struct {
	HTTPPort int    `env:"DAPR_HTTP_PORT" envDefault:"3500"`
	GRPCPort int    `env:"DAPR_GRPC_PORT" envDefault:"50001"`
	APIToken string `env:"DAPR_API_TOKEN"`
}

const apiTokenHeader = "dapr-api-token"

// Client talks to one sidecar.
type Client struct {
	base  string
	token string
	http  *http.Client
	conn  *grpc.ClientConn
	sdk   dapr.Client
}

// New returns a client for config's sidecar. It connects when first used, and reconnects when the sidecar is back.
func New(config Config) (*Client, error) {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()), // loopback only
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: time.Second,
		}),
		grpc.WithUnaryInterceptor(withToken(config.APIToken)),
	}
	var transport http.RoundTripper = &http.Transport{
		MaxIdleConns:        256,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     90 * time.Second,
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
	}
	if telemetry.Tracing() {
		options = append(options, grpc.WithStatsHandler(parts{otelgrpc.NewClientHandler(otelgrpc.WithPropagators(telemetry.Propagator))}))
		transport = otelhttp.NewTransport(transport, otelhttp.WithPropagators(telemetry.Propagator),
			otelhttp.WithFilter(func(r *http.Request) bool { return telemetry.Recorded(r.Context()) }),
			otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method + " " + r.URL.Path }))
	}
	conn, err := grpc.NewClient(net.JoinHostPort("127.0.0.1", strconv.Itoa(config.GRPCPort)), options...)
	if err != nil {
		return nil, fmt.Errorf("sidecar: %w", err)
	}
	return &Client{
		base:  "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(config.HTTPPort)),
		token: config.APIToken,
		http:  &http.Client{Transport: transport},
		conn:  conn,
		sdk:   dapr.NewClientWithConnection(conn),
	}, nil
}

// Close ends the connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return c.conn.Close()
}

// Ready returns an error unless the sidecar can reach its components and other apps. (The plain health endpoint would
// also wait for this very app.)
func (c *Client) Ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1.0/healthz/outbound", nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("sidecar health: status %d", resp.StatusCode)
	}
	return nil
}

// parts handles the calls that are part of a recorded trace. Without it each call that nobody waits for, such as a poll, would begin a
// trace of its own.
type parts struct{ stats.Handler }

// TagRPC begins the span of a call.
func (p parts) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	if telemetry.Recorded(ctx) {
		return p.Handler.TagRPC(ctx, info)
	}
	return ctx
}

// HandleRPC tells the span of a call what becomes of the call.
func (p parts) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if telemetry.Recorded(ctx) {
		p.Handler.HandleRPC(ctx, s)
	}
}

func withToken(token string) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, apiTokenHeader, token)
		}
		return invoke(ctx, method, req, reply, cc, opts...)
	}
}
