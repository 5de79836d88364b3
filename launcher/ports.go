package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/bankmore/bankmore/launcher/runfile"
)

// checkPorts returns an error if ports are taken. It names each of them, and the program that needs it. broker is the address
// of the embedded broker, or "" if there is none.
func checkPorts(apps []runfile.App, broker string) error {
	var busy []string
	need := func(port int, who string) {
		if taken(port) {
			busy = append(busy, fmt.Sprintf("  port %d, needed by %s", port, who))
		}
	}
	for _, a := range apps {
		need(a.AppPort, a.ID)
		need(a.HTTPPort, "the sidecar of "+a.ID+" (HTTP API)")
		need(a.GRPCPort, "the sidecar of "+a.ID+" (gRPC API)")
		need(a.InternalPort, "the sidecar of "+a.ID+" (calls from other sidecars)")
		need(a.MetricsPort, "the sidecar of "+a.ID+" (metrics)")
	}
	if broker != "" {
		_, port, err := net.SplitHostPort(broker)
		number, notNumber := strconv.Atoi(port)
		if err := errors.Join(err, notNumber); err != nil {
			return fmt.Errorf("the broker's address: %w", err)
		}
		need(number, "the embedded Kafka broker (set "+kafkaVariable+" to use a Kafka that runs already)")
	}
	if len(busy) == 0 {
		return nil
	}
	return errors.New("another program uses\n" + strings.Join(busy, "\n") + "\nstop it; the ports of apps and sidecars are in dapr.yaml")
}

// taken reports whether a program listens on port. It tries loopback and the wildcard address, since on macOS one can listen
// on the one although another program listens on the other.
func taken(port int) bool {
	for _, host := range []string{"127.0.0.1", "::1", ""} {
		listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err == nil {
			_ = listener.Close()
		} else if errors.Is(err, syscall.EADDRINUSE) {
			return true
		}
	}
	return false
}
