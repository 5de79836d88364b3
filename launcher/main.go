// Command launcher is the program behind `make run`. It builds what is missing. It starts the embedded broker and every app of
// dapr.yaml with its sidecar, and says when everything is ready. It restarts a program that ends by itself. At a signal it
// stops everything in order.
//
//	launcher [flags]         with -without SERVICE, all but that service
//	launcher build PART...   builds only; see package build
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bankmore/bankmore/launcher/build"
	"github.com/bankmore/bankmore/launcher/runfile"
)

// Paths, relative to the repository. The working directory must be the repository.
const (
	runFilePath    = "dapr.yaml"
	dataDir        = ".data"
	logDir         = ".dapr/logs" // the Dapr CLI's choice
	environmentDir = ".dapr"      // has the environment of a service that the user starts
	toolDir        = ".tools"
)

const ingressID = "ingress"

// kafkaVariable is the environment variable that names the user's own brokers. If it is empty, the launcher starts the
// embedded broker.
const kafkaVariable = "KAFKA_BOOTSTRAP_SERVERS"

func main() {
	builds := flag.Bool("build", true, "build the services and what is missing first")
	broker := flag.String("broker", "127.0.0.1:9092", "where the embedded broker listens, unless "+kafkaVariable+" is set")
	without := flag.String("without", "", "a `service` that you start yourself, as in a debugger: only its sidecar is started")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// Ignore SIGPIPE: if the reader of our output ends, we still stop everything in order.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if flag.Arg(0) == "build" {
		if err := build.Parts(ctx, flag.Args()[1:]...); err != nil {
			fmt.Fprintf(os.Stderr, "building: %v\n", err)
			os.Exit(1)
		}
		return
	}
	if err := run(ctx, *builds, *broker, *without); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(os.Stderr, "\nmake run: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, builds bool, broker, without string) (err error) {
	began := time.Now()
	apps, err := runfile.Read(runFilePath)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(apps, func(a runfile.App) bool { return a.ID == ingressID }) {
		return fmt.Errorf("%s: no app %q", runFilePath, ingressID)
	}
	if without != "" && !slices.ContainsFunc(apps, func(a runfile.App) bool { return a.ID == without && a.ID != ingressID }) {
		return fmt.Errorf("%s: no service %q to leave out", runFilePath, without)
	}
	for _, dir := range []string{dataDir, logDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	unlock, err := lock(dataDir + "/run.lock")
	if err != nil {
		return err
	}
	defer unlock()
	kafka := os.Getenv(kafkaVariable)
	if kafka != "" {
		fmt.Printf("using the Kafka at %s (%s)\n", kafka, kafkaVariable)
		broker = ""
	} else {
		kafka = broker
	}

	programs, err := findTools(ctx, broker != "")
	if err != nil {
		return err
	}
	if builds {
		if err := build.Parts(ctx, programs.parts...); err != nil {
			return fmt.Errorf("building: %w", err)
		}
	}
	if err := checkPorts(apps, broker); err != nil {
		return err
	}
	s, err := describe(apps, programs, kafka, broker)
	if err != nil {
		return err
	}
	if without != "" {
		if err := s.leaveOut(without); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.start(ctx); err != nil {
		return err
	}
	s.greet(time.Since(began))
	return s.watch(ctx)
}

// say prints a message with the time of day.
func say(format string, args ...any) {
	fmt.Println(time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

func (s *system) greet(took time.Duration) {
	port := s.ingress().AppPort
	fmt.Printf("\nBankMore is ready (%.1f s).\n\n", took.Seconds())
	fmt.Printf("  API          http://localhost:%d/api/\n", port)
	fmt.Printf("  Swagger UI   http://localhost:%d/swagger/\n", port)
	for _, a := range s.services() {
		fmt.Printf("  %-12s http://localhost:%d, sidecar http://localhost:%d/v1.0/invoke/%s/method/\n", a.ID, a.AppPort, a.HTTPPort, a.ID)
	}
	fmt.Printf("  data         %s\n  logs         %s\n", dataDir, logDir)
	for _, a := range s.apps {
		if a.program == nil {
			fmt.Printf("\n%s is yours to start, in this folder, with the variables in %s: %s\n", a.ID, a.environmentFile(), strings.Join(a.Command, " "))
		}
	}
	fmt.Printf(`
Try it:

  curl -i http://localhost:%d/api/account/register/ -H 'Content-Type: application/json' \
    -d '{"cpf":"52998224725","name":"Ana Souza","password":"senha-da-ana"}'

or, in another terminal, make demo. Sidecars answer to their apps' token only (header dapr-api-token); export a
DAPR_API_TOKEN of your own to know it. What ends by itself is started again. Ctrl-C ends everything; the data stays.

`, port)
}

// lock returns an error if another `make run` uses the same data.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, errors.New("another `make run` of this folder is running")
	}
	return func() { _ = file.Close() }, nil
}
