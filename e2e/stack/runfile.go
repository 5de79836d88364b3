package stack

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"

	"gopkg.in/yaml.v3"
)

// runFile is what the stack takes from dapr.yaml, so that the tests run what `dapr run -f dapr.yaml` runs. Commands,
// folders and ports are the stack's own.
type runFile struct {
	Common runSettings `yaml:"common"`
	Apps   []yaml.Node `yaml:"apps"`
}

// runSettings can stand for one app, or for all.
type runSettings struct {
	ConfigFile      string            `yaml:"configFilePath"`
	Resources       []string          `yaml:"resourcesPaths"`
	Env             map[string]string `yaml:"env"`
	LogLevel        string            `yaml:"logLevel"`
	MaxBodySize     string            `yaml:"maxBodySize"`
	ReadBufferSize  string            `yaml:"readBufferSize"`
	AppHealthCheck  bool              `yaml:"enableAppHealthCheck"`
	HealthPath      string            `yaml:"appHealthCheckPath"`
	HealthInterval  int               `yaml:"appHealthProbeInterval"`
	HealthTimeout   int               `yaml:"appHealthProbeTimeout"`
	HealthThreshold int               `yaml:"appHealthThreshold"`
	Placement       *string           `yaml:"placementHostAddress"`
	Scheduler       *string           `yaml:"schedulerHostAddress"`
}

// readRunFile returns the settings of each app, by its id: the common ones, overlaid with its own.
func readRunFile(root string) (map[string]runSettings, error) {
	raw, err := os.ReadFile(filepath.Join(root, "dapr.yaml"))
	if err != nil {
		return nil, err
	}
	var file runFile
	if err := yaml.Unmarshal(raw, &file); err != nil {
		return nil, fmt.Errorf("dapr.yaml: %w", err)
	}
	apps := map[string]runSettings{}
	for _, node := range file.Apps {
		var name struct {
			AppID string `yaml:"appID"`
		}
		settings := file.Common
		settings.Env = maps.Clone(file.Common.Env)
		if err := errors.Join(node.Decode(&name), node.Decode(&settings)); err != nil {
			return nil, fmt.Errorf("dapr.yaml: %w", err)
		}
		apps[name.AppID] = settings
	}
	return apps, nil
}

// sidecarArguments are daprd's, as the Dapr CLI would pass them. (An app without a health check of its own has none.)
func (s runSettings) sidecarArguments() []string {
	var args []string
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
	for _, path := range s.Resources {
		add("resources-path", path)
	}
	add("config", s.ConfigFile)
	add("log-level", s.LogLevel)
	add("max-body-size", s.MaxBodySize)
	add("read-buffer-size", s.ReadBufferSize)
	if s.AppHealthCheck {
		args = append(args, "--enable-app-health-check")
		add("app-health-check-path", s.HealthPath)
		number("app-health-probe-interval", s.HealthInterval)
		number("app-health-probe-timeout", s.HealthTimeout)
		number("app-health-threshold", s.HealthThreshold)
	}
	if s.Placement != nil {
		args = append(args, "--placement-host-address", *s.Placement)
	}
	if s.Scheduler != nil {
		args = append(args, "--scheduler-host-address", *s.Scheduler)
	}
	return args
}
