// Package runfile reads dapr.yaml, Dapr's multi-app run file. It returns the arguments and the environment with which the Dapr
// CLI would start each app and its sidecar. So the launcher runs the same programs as the CLI.
package runfile

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"

	"gopkg.in/yaml.v3"
)

// Settings are settings that the run file gives to one app, or to all apps under "common".
type Settings struct {
	ConfigFile      string            `yaml:"configFilePath"`
	Resources       []string          `yaml:"resourcesPaths"`
	Env             map[string]string `yaml:"env"`
	Listen          string            `yaml:"apiListenAddresses"`
	LogLevel        string            `yaml:"logLevel"`
	MaxBodySize     string            `yaml:"maxBodySize"`
	ReadBufferSize  string            `yaml:"readBufferSize"`
	AppHealthCheck  bool              `yaml:"enableAppHealthCheck"`
	HealthPath      string            `yaml:"appHealthCheckPath"`
	HealthInterval  int               `yaml:"appHealthProbeInterval"` // seconds
	HealthTimeout   int               `yaml:"appHealthProbeTimeout"`  // milliseconds
	HealthThreshold int               `yaml:"appHealthThreshold"`
	Placement       *string           `yaml:"placementHostAddress"`
	Scheduler       *string           `yaml:"schedulerHostAddress"`
}

// App is a program and its sidecar. Paths are as in the file: relative to the file's folder.
type App struct {
	ID           string   `yaml:"appID"`
	Dir          string   `yaml:"appDirPath"`
	Command      []string `yaml:"command"`
	AppPort      int      `yaml:"appPort"`
	HTTPPort     int      `yaml:"daprHTTPPort"`
	GRPCPort     int      `yaml:"daprGRPCPort"`
	InternalPort int      `yaml:"daprInternalGRPCPort"`
	MetricsPort  int      `yaml:"metricsPort"`
	Settings     `yaml:",inline"`
}

// Read returns the apps of a run file in the order of the file. An app's own settings override the common ones. Read returns
// an error for a setting that this package does not know, since the program would run differently with the Dapr CLI.
func Read(path string) ([]App, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	apps, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return apps, nil
}

func parse(raw []byte) ([]App, error) {
	var known struct {
		Version int      `yaml:"version"`
		Common  Settings `yaml:"common"`
		Apps    []App    `yaml:"apps"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.KnownFields(true)
	if err := decoder.Decode(&known); err != nil {
		return nil, err
	}
	var nodes struct {
		Apps []yaml.Node `yaml:"apps"`
	}
	if err := yaml.Unmarshal(raw, &nodes); err != nil {
		return nil, err
	}
	apps := make([]App, len(nodes.Apps))
	for i, node := range nodes.Apps {
		apps[i].Settings = known.Common
		apps[i].Env = maps.Clone(known.Common.Env)
		if err := node.Decode(&apps[i]); err != nil {
			return nil, err
		}
		if apps[i].ID == "" || len(apps[i].Command) == 0 {
			return nil, errors.New("an app has no appID or no command")
		}
	}
	return apps, nil
}

// SidecarArguments returns the arguments of daprd. The ports for other sidecars and for metrics are open on loopback only, since
// their users are on this machine. The Dapr CLI has no option for that. The file decides where the API listens.
func (a App) SidecarArguments() []string {
	args := []string{
		"--app-id", a.ID, "--app-protocol", "http", "--app-port", strconv.Itoa(a.AppPort),
		"--dapr-http-port", strconv.Itoa(a.HTTPPort), "--dapr-grpc-port", strconv.Itoa(a.GRPCPort),
		"--dapr-internal-grpc-port", strconv.Itoa(a.InternalPort), "--metrics-port", strconv.Itoa(a.MetricsPort),
		"--dapr-internal-grpc-listen-address", "127.0.0.1", "--metrics-listen-address", "127.0.0.1",
	}
	add := func(name, value string) {
		if value != "" {
			args = append(args, "--"+name, value)
		}
	}
	number := func(name string, value int) {
		if value != 0 {
			add(name, strconv.Itoa(value))
		}
	}
	add("dapr-listen-addresses", a.Listen)
	for _, path := range a.Resources {
		add("resources-path", path)
	}
	add("config", a.ConfigFile)
	add("log-level", a.LogLevel)
	add("max-body-size", a.MaxBodySize)
	add("read-buffer-size", a.ReadBufferSize)
	if a.AppHealthCheck {
		args = append(args, "--enable-app-health-check")
		add("app-health-check-path", a.HealthPath)
		number("app-health-probe-interval", a.HealthInterval)
		number("app-health-probe-timeout", a.HealthTimeout)
		number("app-health-threshold", a.HealthThreshold)
	}
	if a.Placement != nil {
		args = append(args, "--placement-host-address", *a.Placement)
	}
	if a.Scheduler != nil {
		args = append(args, "--scheduler-host-address", *a.Scheduler)
	}
	return args
}

// Environment returns the app's variables: the ports of the app and its sidecar, and the variables in the file.
func (a App) Environment() map[string]string {
	env := map[string]string{
		"APP_ID":            a.ID,
		"APP_PORT":          strconv.Itoa(a.AppPort),
		"DAPR_HTTP_PORT":    strconv.Itoa(a.HTTPPort),
		"DAPR_GRPC_PORT":    strconv.Itoa(a.GRPCPort),
		"DAPR_METRICS_PORT": strconv.Itoa(a.MetricsPort),
	}
	maps.Copy(env, a.Env)
	return env
}
