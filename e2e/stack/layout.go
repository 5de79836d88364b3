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

	"github.com/bankmore/bankmore/launcher/process"
	"github.com/bankmore/bankmore/launcher/runfile"
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
func (s *Stack) describe(apps map[string]runfile.App, options Options) error {
	for id, app := range apps {
		apps[id] = s.adapt(app)
	}
	s.described, s.options = apps, options
	for _, id := range Services {
		if _, err := s.addService(id, id); err != nil {
			return err
		}
	}

	ingress := s.addSidecar(Ingress, s.described[Ingress])
	env := ingress.app.Environment()
	maps.Copy(env, s.tokens())
	env["INGRESS_PORT"] = strconv.Itoa(ingress.app.AppPort)
	ingress.Service = s.process(Ingress, []string{s.programs.caddy, "run", "--config", filepath.Join(ingressDir, "Caddyfile")}, env, toolGrace,
		process.Listens(loopback(ingress.app.AppPort)))
	return nil
}

// addService adds a replica of a service, with its sidecar, under a name of its own.
func (s *Stack) addService(name, id string) (*App, error) {
	app := s.addSidecar(name, s.described[id])
	env := app.app.Environment()
	maps.Copy(env, s.serviceEnvironment(app))
	if s.options.Cut && s.Shared() {
		line, through, err := lay(name, loopback(s.ports.take()), env["DATABASE_URL"])
		if err != nil {
			return nil, err
		}
		app.Line, env["DATABASE_URL"] = line, through
	}
	maps.Copy(env, s.tokens())
	maps.Copy(env, map[string]string{
		"LISTEN_ADDRESS":     loopback(app.app.AppPort),
		"JWT_SECRET_KEY":     s.JWTSecret,
		"CPF_ENCRYPTION_KEY": s.keys[0],
		"CPF_HASH_KEY":       s.keys[1],
		// All customers of a test run come from one address.
		"LOGIN_FAILURE_LIMIT":     "100",
		"REGISTRATION_RATE_LIMIT": "1000000",
		"CUSTOMER_RATE_LIMITS":    "*=1000000", // and some of them are in a hurry
		"FEE_BALANCE_INTERVAL":    "3s",        // tests wait for what takes up to half a minute elsewhere
	})
	maps.Copy(env, s.options.Env)
	crashpoints := ""
	if slices.Contains(strings.Split(s.options.Tags, ","), CrashpointsTag) {
		crashpoints = filepath.Join(s.Dir, crashpointsDir, name)
		env["CRASHPOINTS"] = crashpoints
	}
	app.Service = s.process(name, []string{filepath.Join(s.Bin, id), "serve"}, env, serviceGrace, process.Answers(app.URL+"/healthz", http.StatusOK))
	app.Service.crashpoints = crashpoints
	return app, nil
}

// Replicate starts another replica of a service. Its name is the service's with a number.
func (s *Stack) Replicate(ctx context.Context, id string) (*App, error) {
	if !s.Shared() {
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

// AddressLife is how long other sidecars may still send calls to a replica that has been retired: daprd's resolverCacheTTL.
const AddressLife = 20 * time.Second

// Retire ends replicas that Replicate started, of each the service first. A service may have ended already. So may a sidecar, if it
// was terminated: one that was killed stays registered, and AddressLife is too short for it.
func (s *Stack) Retire(replicas ...*App) error {
	var errs []error
	for _, app := range replicas {
		errs = append(errs, app.Service.Terminate(), app.Sidecar.Terminate())
		if app.Line != nil {
			errs = append(errs, app.Line.Kill())
		}
	}
	maps.DeleteFunc(s.Apps, func(_ string, app *App) bool { return slices.Contains(replicas, app) })
	return errors.Join(errs...)
}

// LoneSidecar is a sidecar without an app. A folder of the stack has its components and its config.yaml. That file must not register
// the sidecar where those of the stack look for apps, or they would send it calls.
func (s *Stack) LoneSidecar(name, id, folder string) *App {
	alone := s.described[id]
	alone.Resources, alone.ConfigFile, alone.AppHealthCheck = []string{folder}, filepath.Join(folder, "config.yaml"), false
	app := s.addSidecar(name, alone)
	delete(s.Apps, name)
	return app
}

// addSidecar adds an app with its sidecar, on ports of its own.
func (s *Stack) addSidecar(name string, described runfile.App) *App {
	described.AppPort, described.HTTPPort, described.GRPCPort = s.ports.take(), s.ports.take(), s.ports.take()
	described.InternalPort, described.MetricsPort = s.ports.take(), s.ports.take()
	app := &App{
		ID:      described.ID,
		URL:     "http://" + loopback(described.AppPort),
		Dapr:    "http://" + loopback(described.HTTPPort),
		GRPC:    loopback(described.GRPCPort),
		Metrics: "http://" + loopback(described.MetricsPort),

		Resources: described.Resources,

		app: described,
	}
	env := s.tokens()
	env["DAPR_HOST_IP"] = "127.0.0.1"
	maps.Copy(env, s.sidecarEnvironment())
	app.Sidecar = s.process(name+"-sidecar", append([]string{s.programs.daprd}, described.SidecarArguments()...), env, sidecarGrace,
		// Once it serves its API and knows how to find the others.
		process.Answers(app.Dapr+"/v1.0/healthz/outbound", http.StatusNoContent))
	s.sidecars.Store(loopback(described.HTTPPort), true)
	s.Apps[name] = app
	return app
}

// tokens are what both sides show each other.
func (s *Stack) tokens() map[string]string {
	return map[string]string{"APP_API_TOKEN": s.AppToken, "DAPR_API_TOKEN": s.APIToken}
}

// inherited are the only variables that processes take from whoever runs the tests.
var inherited = []string{"PATH", "HOME", "TMPDIR", "LANG"}

func (s *Stack) process(name string, command []string, env map[string]string, grace time.Duration, ready func(context.Context) error) *Process {
	var environ []string
	for _, key := range inherited {
		if value := os.Getenv(key); value != "" {
			environ = append(environ, key+"="+value)
		}
	}
	env = maps.Clone(env)
	maps.Copy(env, s.options.All)
	for _, key := range slices.Sorted(maps.Keys(env)) {
		environ = append(environ, key+"="+env[key])
	}
	return &Process{Process: process.New(process.Spec{
		Name: name, Command: command, Env: environ, Dir: s.Dir, Grace: grace, Ready: ready,
		LogFile: filepath.Join(s.Dir, logDir, name+".log"),
	})}
}
