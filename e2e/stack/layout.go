package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// A stack's folder is laid out like the repository, and every process runs in it, so relative paths in the run file
// and in components mean the same as there.
const (
	dataDir       = ".data"
	logDir        = "logs"
	componentsDir = "components"
	ingressDir    = "ingress"

	crashpointsDir = "crashpoints"
)

// How long each kind of process may take to end after SIGTERM.
const (
	serviceGrace = 25 * time.Second // a service drains for up to 15 s
	sidecarGrace = 15 * time.Second
	toolGrace    = 10 * time.Second
)

func copyConfiguration(root, dir string) error {
	for _, sub := range []string{dataDir, logDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	for _, sub := range []string{componentsDir, ingressDir} {
		if err := os.CopyFS(filepath.Join(dir, sub), os.DirFS(filepath.Join(root, sub))); err != nil {
			return err
		}
	}
	return nil
}

// requireIsolation checks that sidecars find each other through a file of their stack. With Dapr's default, mDNS, they
// would find the apps with that id on the whole network, those of other stacks and of `make run` too.
func requireIsolation(root, configFile string) error {
	raw, err := os.ReadFile(filepath.Join(root, configFile))
	if err != nil {
		return err
	}
	var config struct {
		Spec struct {
			NameResolution struct {
				Component     string `yaml:"component"`
				Configuration struct {
					ConnectionString string `yaml:"connectionString"`
				} `yaml:"configuration"`
			} `yaml:"nameResolution"`
		} `yaml:"spec"`
	}
	if err := yaml.Unmarshal(raw, &config); err != nil {
		return fmt.Errorf("%s: %w", configFile, err)
	}
	names := config.Spec.NameResolution
	if names.Component != "sqlite" || !filepath.IsLocal(names.Configuration.ConnectionString) {
		return fmt.Errorf("%s: nameResolution must be sqlite with a relative path, or stacks call each other's apps", configFile)
	}
	return nil
}

// describe says how each process is started and when it is ready.
func (s *Stack) describe(programs tools, settings map[string]runSettings, options Options) error {
	if s.Backends == nil {
		s.brokerAddress = loopback(s.ports.take())
		s.broker = s.process("broker", []string{programs.broker, "-address", s.brokerAddress, "-data", filepath.Join(dataDir, "broker")}, nil, toolGrace)
		s.broker.ready = listens(s.brokerAddress)
	} else {
		for id := range settings {
			settings[id] = settings[id].production()
		}
	}

	s.programs, s.settings, s.options = programs, settings, options
	for _, id := range Services {
		if _, err := s.addService(id, id); err != nil {
			return err
		}
	}

	port, ingress := s.addSidecar(Ingress, Ingress)
	env := ingress.environment()
	maps.Copy(env, settings[Ingress].Env)
	env["INGRESS_PORT"] = strconv.Itoa(port)
	ingress.Service = s.process(Ingress, []string{programs.caddy, "run", "--config", filepath.Join(ingressDir, "Caddyfile")}, env, toolGrace)
	ingress.Service.ready = listens(loopback(port))
	return nil
}

// addService adds a replica of a service, with its sidecar, under a name of its own.
func (s *Stack) addService(name, id string) (*App, error) {
	port, app := s.addSidecar(name, id)
	env := app.environment()
	maps.Copy(env, s.settings[id].Env)
	if s.Backends == nil {
		app.Database = filepath.Join(s.Dir, dataDir, id+".db")
		maps.Copy(env, map[string]string{"BANKMORE_ENV": "local", "DATABASE_URL": "sqlite:" + app.Database})
	} else {
		maps.Copy(env, s.Backends.serviceEnvironment(id))
	}
	if s.Backends != nil && s.options.Cut {
		line, through, err := lay(name, loopback(s.ports.take()), env["DATABASE_URL"])
		if err != nil {
			return nil, err
		}
		app.Line, env["DATABASE_URL"] = line, through
	}
	maps.Copy(env, map[string]string{
		"LISTEN_ADDRESS":     loopback(port),
		"APP_API_TOKEN":      s.AppToken,
		"JWT_SECRET_KEY":     s.JWTSecret,
		"CPF_ENCRYPTION_KEY": s.keys[0],
		"CPF_HASH_KEY":       s.keys[1],
	})
	maps.Copy(env, s.options.Env)
	crashpoints := ""
	if slices.Contains(strings.Split(s.options.Tags, ","), CrashpointsTag) {
		crashpoints = filepath.Join(s.Dir, crashpointsDir, name)
		env["CRASHPOINTS"] = crashpoints
	}
	app.Service = s.process(name, []string{filepath.Join(s.Bin, id), "serve"}, env, serviceGrace)
	app.Service.ready, app.Service.crashpoints = answers(app.URL+"/healthz", http.StatusOK), crashpoints
	return app, nil
}

// Replicate starts another replica of a service. Its name is the service's with a number.
func (s *Stack) Replicate(ctx context.Context, id string) (*App, error) {
	if s.Backends == nil {
		return nil, errors.New("replicas need a database that they can share")
	}
	name := id
	for n := 2; s.Apps[name] != nil; n++ {
		name = fmt.Sprintf("%s-%d", id, n)
	}
	app, err := s.addService(name, id)
	if err != nil {
		return nil, err
	}
	return app, errors.Join(app.Service.Start(ctx), app.Sidecar.Start(ctx))
}

// LoneSidecar is a sidecar without an app, with the components in a folder of the stack.
func (s *Stack) LoneSidecar(name, id, resources string) *App {
	usual := s.settings[id]
	defer func() { s.settings[id] = usual }()
	alone := usual
	alone.Resources, alone.AppHealthCheck = []string{resources}, false
	s.settings[id] = alone
	_, app := s.addSidecar(name, id)
	delete(s.Apps, name)
	return app
}

// addSidecar adds an app with its sidecar, and says on which port the app shall listen.
func (s *Stack) addSidecar(name, id string) (appPort int, app *App) {
	appPort = s.ports.take()
	ports := map[string]int{
		"app-port": appPort, "dapr-http-port": s.ports.take(), "dapr-grpc-port": s.ports.take(),
		"dapr-internal-grpc-port": s.ports.take(), "metrics-port": s.ports.take(),
	}
	command := []string{s.programs.daprd, "--app-id", id, "--app-protocol", "http",
		"--dapr-listen-addresses", "127.0.0.1", "--dapr-internal-grpc-listen-address", "127.0.0.1", "--metrics-listen-address", "127.0.0.1"}
	for _, flag := range slices.Sorted(maps.Keys(ports)) {
		command = append(command, "--"+flag, strconv.Itoa(ports[flag]))
	}
	app = &App{
		ID:      id,
		URL:     "http://" + loopback(appPort),
		Dapr:    "http://" + loopback(ports["dapr-http-port"]),
		Metrics: "http://" + loopback(ports["metrics-port"]),
		ports:   ports,

		Resources: s.settings[id].Resources,
	}
	env := map[string]string{"APP_API_TOKEN": s.AppToken, "DAPR_HOST_IP": "127.0.0.1"}
	if s.Backends == nil {
		env["KAFKA_BOOTSTRAP_SERVERS"] = s.brokerAddress
	} else {
		maps.Copy(env, s.Backends.sidecarEnvironment())
	}
	app.Sidecar = s.process(name+"-sidecar", append(command, s.settings[id].sidecarArguments()...), env, sidecarGrace)
	app.Sidecar.ready = s.sidecarReady(app)
	s.Apps[name] = app
	return appPort, app
}

// sidecarReady is satisfied once the sidecar serves its API and knows how to find the others.
func (s *Stack) sidecarReady(app *App) func(context.Context) error {
	return answers(app.Dapr+"/v1.0/healthz/outbound", http.StatusNoContent)
}

// environment is what the Dapr CLI tells an app about its sidecar.
func (a *App) environment() map[string]string {
	return map[string]string{
		"APP_ID":            a.ID,
		"APP_PORT":          strconv.Itoa(a.ports["app-port"]),
		"DAPR_HTTP_PORT":    strconv.Itoa(a.ports["dapr-http-port"]),
		"DAPR_GRPC_PORT":    strconv.Itoa(a.ports["dapr-grpc-port"]),
		"DAPR_METRICS_PORT": strconv.Itoa(a.ports["metrics-port"]),
	}
}

// inherited are the only variables that processes take from whoever runs the tests.
var inherited = []string{"PATH", "HOME", "TMPDIR", "LANG"}

func (s *Stack) process(name string, command []string, env map[string]string, grace time.Duration) *Process {
	var environ []string
	for _, key := range inherited {
		if value := os.Getenv(key); value != "" {
			environ = append(environ, key+"="+value)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(env)) {
		environ = append(environ, key+"="+env[key])
	}
	return &Process{
		name: name, command: command, env: environ, dir: s.Dir, grace: grace,
		logFile: filepath.Join(s.Dir, logDir, name+".log"),
	}
}
