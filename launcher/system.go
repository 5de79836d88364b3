package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/bankmore/bankmore/launcher/process"
	"github.com/bankmore/bankmore/launcher/runfile"
)

// Time limits, and the interval between two checks.
const (
	readyTimeout = 90 * time.Second
	grace        = 25 * time.Second // for a program to end after SIGTERM; a service drains for up to 15 s
	pollInterval = 25 * time.Millisecond
)

// system is all programs of a run: the embedded broker, unless the user has one, and each app with its sidecar.
type system struct {
	keeper  *keeper
	release context.CancelFunc // makes the keeper restart programs no more

	broker  *process.Process // nil if the user has one
	address string           // of the broker
	apps    []app            // in the order of the run file
}

type app struct {
	runfile.App
	program, sidecar *process.Process // no program if the user starts it

	env []string // of the program, beside ours
}

// environmentFile is where leaveOut writes the app's environment.
func (a app) environmentFile() string { return filepath.Join(environmentDir, a.ID+".env") }

// describe returns a system whose programs are ready to be started.
func describe(apps []runfile.App, programs tools, kafka, broker string) (*system, error) {
	s := &system{keeper: newKeeper(usual, say), release: func() {}, address: broker}
	if broker != "" {
		data, err := filepath.Abs(filepath.Join(dataDir, "broker"))
		if err != nil {
			return nil, err
		}
		if s.broker, err = program("broker", ".", nil, process.Listens(broker), programs.broker, "-address", broker, "-data", data); err != nil {
			return nil, err
		}
	}
	// An app and its sidecar share both tokens. The user may have exported tokens of their own.
	tokens := []string{"APP_API_TOKEN=" + token("APP_API_TOKEN"), "DAPR_API_TOKEN=" + token("DAPR_API_TOKEN")}
	forSidecars := append(slices.Clone(tokens), kafkaVariable+"="+kafka,
		"DAPR_HOST_IP=127.0.0.1") // the address that sidecars give to each other
	for _, described := range apps {
		env := slices.Clone(tokens)
		for name, value := range described.Environment() {
			env = append(env, name+"="+value)
		}
		a := app{App: described, env: env}
		var err, sidecarErr error
		a.program, err = program(a.ID, a.Dir, env, a.ready(), a.Command...)
		a.sidecar, sidecarErr = program(a.ID+"-sidecar", a.Dir, forSidecars,
			process.Answers(fmt.Sprintf("http://127.0.0.1:%d/v1.0/healthz/outbound", a.HTTPPort), http.StatusNoContent),
			append([]string{programs.daprd}, a.SidecarArguments()...)...)
		if err := errors.Join(err, sidecarErr); err != nil {
			return nil, err
		}
		s.apps = append(s.apps, a)
	}
	return s, nil
}

// leaveOut leaves the start of a service to the user. It writes the variables that the service would have got to a file that
// editors and shells understand. Only the user can read it, since the tokens are among the variables.
func (s *system) leaveOut(id string) error {
	left := &s.apps[slices.IndexFunc(s.apps, func(a app) bool { return a.ID == id })]
	left.program = nil
	slices.Sort(left.env)
	if err := os.Remove(left.environmentFile()); err != nil && !errors.Is(err, fs.ErrNotExist) { // it would keep its mode
		return err
	}
	return os.WriteFile(left.environmentFile(), []byte(strings.Join(left.env, "\n")+"\n"), 0o600)
}

// token returns the value of an environment variable, or a new random secret if it is empty.
func token(variable string) string {
	if value := os.Getenv(variable); value != "" {
		return value
	}
	return rand.Text()
}

// program returns a process that gets our environment and env. It empties the process's log.
func program(name, dir string, env []string, ready func(context.Context) error, command ...string) (*process.Process, error) {
	log, err := filepath.Abs(filepath.Join(logDir, name+".log"))
	if err != nil {
		return nil, err
	}
	return process.New(process.Spec{
		Name: name, Command: command, Env: append(os.Environ(), env...), Dir: dir, LogFile: log, Ready: ready, Grace: grace,
	}), os.WriteFile(log, nil, 0o600)
}

// ready returns a check that succeeds when the app answers the path of the sidecar's health checks. If the sidecar makes none,
// the check succeeds when the app listens.
func (a app) ready() func(context.Context) error {
	if a.AppHealthCheck && a.HealthPath != "" {
		return process.Answers(fmt.Sprintf("http://127.0.0.1:%d%s", a.AppPort, a.HealthPath), http.StatusOK)
	}
	return process.Listens("127.0.0.1:" + strconv.Itoa(a.AppPort))
}

// start starts the broker and waits until it listens. Then it starts everything else at the same time, and waits until open
// succeeds.
func (s *system) start(ctx context.Context) error {
	running, release := context.WithCancel(context.WithoutCancel(ctx)) // until stop
	s.release = release
	if s.broker != nil {
		fmt.Println("starting the embedded Kafka broker")
		if err := s.keeper.keep(running, s.broker); err != nil {
			return err
		}
		if err := s.wait(ctx, process.Listens(s.address)); err != nil {
			return err
		}
	}
	var names []string
	for _, a := range s.apps {
		if a.program != nil {
			names = append(names, a.ID)
		}
	}
	fmt.Printf("starting %s, each beside its sidecar\n", strings.Join(names, ", "))
	for _, p := range s.ofApps() {
		if err := s.keeper.keep(running, p); err != nil {
			return err
		}
	}
	return s.wait(ctx, s.open)
}

// wait calls ready until it returns nil. It returns an error when ctx ends, the keeper gives up a program, or readyTimeout has
// passed.
func (s *system) wait(ctx context.Context, ready func(context.Context) error) error {
	deadline := time.Now().Add(readyTimeout)
	for said := time.Now(); ; {
		problem := ready(ctx)
		if problem == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready after %s: %w; the logs are in %s", readyTimeout, problem, logDir)
		}
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			say("waiting: %v", problem)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.keeper.failed:
			return err
		case <-time.After(pollInterval):
		}
	}
}

// open returns an error unless each service that we start is ready and answers through the ingress and both sidecars.
func (s *system) open(ctx context.Context) error {
	front := fmt.Sprintf("http://127.0.0.1:%d", s.ingress().AppPort)
	urls := []string{front + "/healthz"}
	for _, a := range s.services() {
		if a.program == nil {
			continue
		}
		urls = append(urls, fmt.Sprintf("http://127.0.0.1:%d/readyz", a.AppPort), front+"/api/schema/"+strings.TrimSuffix(a.ID, "-svc"))
	}
	for _, url := range urls {
		if err := process.Expect(ctx, url, http.StatusOK); err != nil {
			return err
		}
	}
	return nil
}

func (s *system) ingress() app {
	return s.apps[slices.IndexFunc(s.apps, func(a app) bool { return a.ID == ingressID })]
}

func (s *system) services() []app {
	return slices.DeleteFunc(slices.Clone(s.apps), func(a app) bool { return a.ID == ingressID })
}

// watch returns when ctx ends. It returns an error when the keeper gives up a program.
func (s *system) watch(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-s.keeper.failed:
		return err
	}
}

// stop stops the apps in the reverse order of the run file, then the sidecars, then the broker. The run file names an app
// before its callers, so a caller stops first. At a second signal stop kills what is left.
func (s *system) stop() error {
	patience, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	fmt.Println("\nstopping")
	s.release()
	s.keeper.all.Wait()

	var errs []error
	end := func(p *process.Process) { errs = append(errs, p.Stop(patience)) }
	for _, a := range slices.Backward(s.apps) {
		if a.program != nil {
			end(a.program)
		}
	}
	var sidecars sync.WaitGroup
	failures := make([]error, len(s.apps))
	for i, a := range s.apps {
		sidecars.Go(func() { failures[i] = a.sidecar.Stop(patience) })
	}
	sidecars.Wait()
	errs = append(errs, failures...)
	if s.broker != nil {
		end(s.broker)
	}
	for _, p := range s.processes() {
		errs = append(errs, p.Gone())
	}
	err := errors.Join(errs...)
	if err == nil {
		fmt.Println("stopped; the data is in " + dataDir)
	}
	return err
}

func (s *system) processes() (all []*process.Process) {
	if s.broker != nil {
		all = append(all, s.broker)
	}
	return append(all, s.ofApps()...)
}

// ofApps returns each sidecar, and each program that is ours to start.
func (s *system) ofApps() (all []*process.Process) {
	for _, a := range s.apps {
		all = append(all, a.sidecar)
		if a.program != nil {
			all = append(all, a.program)
		}
	}
	return all
}
