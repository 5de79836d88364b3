package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"gopkg.in/yaml.v3"
)

const ingressID = "ingress"

// runFile is what the launcher needs of dapr.yaml.
type runFile struct {
	Apps []app `yaml:"apps"`
}

type app struct {
	ID           string   `yaml:"appID"`
	Command      []string `yaml:"command"`
	AppPort      int      `yaml:"appPort"`
	HTTPPort     int      `yaml:"daprHTTPPort"`
	GRPCPort     int      `yaml:"daprGRPCPort"`
	InternalPort int      `yaml:"daprInternalGRPCPort"`
	MetricsPort  int      `yaml:"metricsPort"`
}

func readRunFile(path string) (runFile, error) {
	var file runFile
	raw, err := os.ReadFile(path)
	if err != nil {
		return file, err
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		return file, fmt.Errorf("%s: %w", path, err)
	}
	if file.ingress().ID == "" {
		return file, fmt.Errorf("%s: no app %q", path, ingressID)
	}
	return file, nil
}

func (f runFile) ingress() app {
	for _, a := range f.Apps {
		if a.ID == ingressID {
			return a
		}
	}
	return app{}
}

func (f runFile) services() []app {
	var services []app
	for _, a := range f.Apps {
		if a.ID != ingressID {
			services = append(services, a)
		}
	}
	return services
}

// checkPorts returns an error that names every port which is taken, and who would need it.
func checkPorts(file runFile, embedded bool) error {
	var busy []string
	need := func(port int, who string) {
		if taken(port) {
			busy = append(busy, fmt.Sprintf("  port %d, needed by %s", port, who))
		}
	}
	for _, a := range file.Apps {
		need(a.AppPort, a.ID)
		need(a.HTTPPort, "the sidecar of "+a.ID+" (HTTP API)")
		need(a.GRPCPort, "the sidecar of "+a.ID+" (gRPC API)")
		need(a.InternalPort, "the sidecar of "+a.ID+" (calls from other sidecars)")
		need(a.MetricsPort, "the sidecar of "+a.ID+" (metrics)")
	}
	if embedded {
		_, port, _ := net.SplitHostPort(embeddedBroker)
		number, _ := strconv.Atoi(port)
		need(number, "the embedded Kafka broker (set "+kafkaVariable+" to use a Kafka that runs already)")
	}
	if len(busy) == 0 {
		return nil
	}
	return errors.New("another program uses\n" + strings.Join(busy, "\n"))
}

// taken tries every address that somebody may listen on: macOS allows loopback beside an open wildcard, and the reverse.
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
