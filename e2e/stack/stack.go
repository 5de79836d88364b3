// Package stack runs the whole system on one machine, as processes on free ports in a folder of its own: the embedded
// Kafka broker, the three services and the ingress, each beside a real daprd. Any number of stacks can run at the same
// time, also beside `make run`: no stack finds the apps of another.
package stack

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bankmore/bankmore/launcher/process"
	"github.com/bankmore/bankmore/launcher/runfile"
)

// Ingress is the app id of the ingress.
const Ingress = "ingress"

// Options vary a stack. The zero value is the stack of the run file.
type Options struct {
	Root string            // of the repository; found upward from the working directory if empty
	Bin  string            // folder of the services' binaries; $BANKMORE_BIN, or else built, if empty
	Env  map[string]string // more variables for the services
	All  map[string]string // more variables for services, sidecars and the ingress
	Tags string            // build tags of the services, if they are built here
	Cut  bool              // a Line lies between each service and its database's server, if there is one

	Profile Profile // what the stack stands on; the embedded one if nil
}

// Stack is a running system.
type Stack struct {
	Dir  string          // holds everything: data, logs, copies of the configuration
	Bin  string          // holds the services' binaries
	Apps map[string]*App // by app id; further replicas have a number after it

	Profile // what it stands on

	AppToken  string // what sidecars present to their apps
	APIToken  string // what apps present to their sidecars
	JWTSecret string // what account-svc signs tokens with

	programs  tools
	described map[string]runfile.App // by app id; ports and command are not the stack's
	options   Options
	keys      [2]string // for CPFs
	ports     *portBlock
	sidecars  sync.Map // the hosts of their HTTP APIs
}

// App is a program and its sidecar.
type App struct {
	ID       string
	Service  *Process
	Sidecar  *Process
	URL      string // of the program itself
	Dapr     string // of the sidecar's HTTP API
	GRPC     string // address of the sidecar's gRPC API
	Metrics  string // of the sidecar
	Database string // file; services on SQLite only
	Line     *Line  // to PostgreSQL; services only, if the options ask for it

	Resources []string // the sidecar's folders, relative to the stack's

	app runfile.App // on the stack's ports
}

// Invoke is the base URL by which the sidecar of app reaches another app.
func (a *App) Invoke(appID string) string { return a.Dapr + "/v1.0/invoke/" + appID + "/method" }

// InternalPort is where other sidecars reach the app's.
func (a *App) InternalPort() int { return a.app.InternalPort }

// Transport presents the API token to the stack's sidecars, as their apps do. What goes elsewhere is left as it is.
func (s *Stack) Transport(next http.RoundTripper) http.RoundTripper { return presenter{s, next} }

type presenter struct {
	stack *Stack
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (p presenter) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, ok := p.stack.sidecars.Load(req.URL.Host); ok {
		req = req.Clone(req.Context())
		req.Header.Set("dapr-api-token", p.stack.APIToken)
	}
	return p.next.RoundTrip(req)
}

// URL is the front door: the ingress.
func (s *Stack) URL() string { return s.Apps[Ingress].URL }

// Start builds what is ours, starts everything and waits until the three services answer through the ingress. The
// caller must Stop the stack, also after an error, if there is one to stop.
func Start(ctx context.Context, options Options) (*Stack, error) {
	s, err := prepare(ctx, options)
	if err != nil {
		return s, err
	}
	if err := s.StartAll(ctx); err != nil {
		return s, err
	}
	return s, nil
}

// At is a system that runs already: its front door and its books, and nothing to start or to stop. It builds into the folder
// bin what checks the books.
func At(ctx context.Context, url, bin string, options Options) (*Stack, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	s := &Stack{Bin: bin, Apps: map[string]*App{Ingress: {ID: Ingress, URL: url}}, Profile: options.Profile}
	return s, Build(ctx, root, bin, "")
}

// Processes are all of the stack's, those of its profile first.
func (s *Stack) Processes() (all []*Process) {
	all = append(all, s.processes()...)
	for _, id := range slices.Sorted(maps.Keys(s.Apps)) {
		all = append(all, s.Apps[id].Sidecar, s.Apps[id].Service)
	}
	return all
}

// StartAll starts every process that does not run, all at once as `dapr run` does, and waits until the front door is
// open.
func (s *Stack) StartAll(ctx context.Context) error {
	err := each(s.Processes(), func(p *Process) error {
		if p.Running() {
			return nil
		}
		return p.Start(ctx)
	})
	if err != nil {
		return err
	}
	return s.WaitOpen(ctx)
}

// How long the stack may take to open, and how often it is asked.
const (
	startTimeout = 60 * time.Second
	pollInterval = 25 * time.Millisecond
)

// probes are a path of each service that answers 401 without touching anything.
var probes = map[string]string{"account-svc": "/api/account/balance", "transfer-svc": "/api/transfer/list", "fee-svc": "/api/fee/my"}

// WaitOpen waits until every service is ready and answers through the ingress.
func (s *Stack) WaitOpen(ctx context.Context) error { return s.waitUntil(ctx, s.open) }

// WaitAnswers waits until a service answers through the ingress. A sidecar refuses requests for up to a second after its
// service has been started again, until it next probes the service's health.
func (s *Stack) WaitAnswers(ctx context.Context, id string) error {
	return s.waitUntil(ctx, func(ctx context.Context) error { return s.answers(ctx, id) })
}

func (s *Stack) waitUntil(ctx context.Context, holds func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var last error // the reason, which the end of ctx must not hide
	for {
		err := holds(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the stack does not open: %w\n%s", errors.Join(last, ctx.Err()), s.LogTails())
		case <-time.After(pollInterval):
		}
	}
}

func (s *Stack) open(ctx context.Context) error {
	for _, id := range Services {
		if err := process.Expect(ctx, s.Apps[id].URL+"/readyz", http.StatusOK); err != nil {
			return err
		}
	}
	for _, id := range Services {
		if err := s.answers(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stack) answers(ctx context.Context, id string) error {
	return process.Expect(ctx, s.URL()+probes[id], http.StatusUnauthorized)
}

// Crashed returns an error that names every process that ended by itself.
func (s *Stack) Crashed() error {
	return errors.Join(collect(s.Processes(), (*Process).Crashed)...)
}

// LogTails are the ends of all logs.
func (s *Stack) LogTails() string {
	return strings.Join(collect(s.Processes(), (*Process).LogTail), "\n")
}

// StopAll ends every process in the order of a shutdown: front door, services, sidecars, broker. It returns an error
// if one crashed before, would not end, or left something running.
func (s *Stack) StopAll() error {
	errs := []error{s.Crashed()}
	for _, p := range s.Processes() {
		if p.Running() {
			errs = append(errs, p.Resume()) // a paused process cannot end
		}
	}
	var services, sidecars []*Process
	for _, app := range s.Apps {
		sidecars = append(sidecars, app.Sidecar)
		if app.ID != Ingress {
			services = append(services, app.Service)
		}
	}
	for _, group := range [][]*Process{{s.Apps[Ingress].Service}, services, sidecars} {
		errs = append(errs, each(group, (*Process).Terminate))
	}
	errs = append(errs, each(s.processes(), (*Process).Terminate))
	return errors.Join(append(errs, each(s.Processes(), (*Process).Gone))...)
}

// Stop ends the stack for good. Its folder is removed unless keep is set.
func (s *Stack) Stop(keep bool) error {
	err := s.StopAll()
	for _, app := range s.Apps {
		if app.Line != nil {
			err = errors.Join(err, app.Line.Kill())
		}
	}
	err = errors.Join(err, s.ports.release())
	if keep {
		return err
	}
	return errors.Join(err, s.remove(context.Background()), os.RemoveAll(s.Dir))
}

// each runs do for all processes at once.
func each(processes []*Process, do func(*Process) error) error {
	errs := make([]error, len(processes))
	var all sync.WaitGroup
	for i, p := range processes {
		all.Go(func() { errs[i] = do(p) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func collect[T any](processes []*Process, get func(*Process) T) []T {
	out := make([]T, len(processes))
	for i, p := range processes {
		out[i] = get(p)
	}
	return out
}

func secret() string { return rand.Text() + rand.Text() }

// key32 is a random key of 32 bytes, in base64.
func key32() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return base64.StdEncoding.EncodeToString(key)
}

// prepare makes the folder, claims the ports and describes the processes.
func prepare(ctx context.Context, options Options) (s *Stack, err error) {
	if options.Profile == nil {
		options.Profile = new(embedded)
	}
	if options.Root == "" {
		if options.Root, err = Root(); err != nil {
			return nil, err
		}
	}
	programs, err := findTools(options.Root)
	if err != nil {
		return nil, err
	}
	apps, err := readRunFile(options.Root)
	if err != nil {
		return nil, err
	}
	if err := requireIsolation(options.Root, apps[Ingress].ConfigFile); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bankmore-stack-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if options.Bin == "" {
		options.Bin = os.Getenv("BANKMORE_BIN")
	}
	if options.Bin == "" {
		options.Bin = filepath.Join(dir, "bin")
		if err := Build(ctx, options.Root, options.Bin, options.Tags); err != nil {
			return nil, err
		}
	}
	if err := copyConfiguration(options.Root, dir); err != nil {
		return nil, err
	}
	ports, err := claimPorts()
	if err != nil {
		return nil, err
	}
	s = &Stack{
		Dir: dir, Bin: options.Bin, Profile: options.Profile, programs: programs, ports: ports, Apps: map[string]*App{},
		AppToken: secret(), APIToken: secret(), JWTSecret: secret(), keys: [2]string{key32(), key32()},
	}
	if err := s.prepare(ctx, s); err != nil {
		return nil, errors.Join(err, ports.release())
	}
	return s, s.describe(apps, options)
}

// readRunFile returns what dapr.yaml says of each app, by its id, so that the tests run what `make run` and
// `dapr run -f dapr.yaml` run. Commands, folders and ports are the stack's own.
func readRunFile(root string) (map[string]runfile.App, error) {
	all, err := runfile.Read(filepath.Join(root, "dapr.yaml"))
	if err != nil {
		return nil, err
	}
	apps := map[string]runfile.App{}
	for _, app := range all {
		apps[app.ID] = app
	}
	return apps, nil
}
