// Command run is behind `make run`: it builds what is missing, starts the broker and `dapr run -f dapr.yaml`, says when
// everything is ready, and ends everything, in order, when it is told to or when a part of it ends by itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// Where things are, relative to the repository, which is the working directory.
const (
	runFilePath = "dapr.yaml"
	dataDir     = ".data"
	logDir      = ".dapr/logs" // the Dapr CLI's choice
	toolDir     = ".tools"
)

// kafkaVariable names brokers of the user's own; without it the embedded one is started.
const kafkaVariable = "KAFKA_BOOTSTRAP_SERVERS"

const embeddedBroker = "127.0.0.1:9092"

func main() {
	runtime.LockOSThread() // children are tied to the thread that starts them: see childAttributes
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(os.Stderr, "\nmake run: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	file, err := readRunFile(runFilePath)
	if err != nil {
		return err
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
	embedded := kafka == ""
	if embedded {
		kafka = embeddedBroker
	}

	dapr := findDapr(ctx)
	if err := build(ctx, dapr, embedded); err != nil {
		return err
	}
	if err := checkPorts(file, embedded); err != nil {
		return err
	}

	started := time.Now()
	s := &stack{file: file, seen: map[string]time.Time{}}
	defer func() { err = errors.Join(err, s.stop()) }()
	if embedded {
		fmt.Println("starting the embedded Kafka broker")
		if err := s.startBroker(kafka); err != nil {
			return err
		}
	} else {
		fmt.Printf("using the Kafka at %s (%s)\n", kafka, kafkaVariable)
	}
	fmt.Println("starting the services, the ingress and their sidecars")
	if err := s.startDapr(dapr, kafka); err != nil {
		return err
	}
	if err := s.waitReady(ctx); err != nil {
		return err
	}
	greet(file, time.Since(started))
	return s.watch(ctx)
}

func greet(file runFile, took time.Duration) {
	fmt.Printf("\nBankMore is ready (%.1f s).\n\n", took.Seconds())
	fmt.Printf("  API          http://localhost:%d/api/\n", file.ingress().AppPort)
	fmt.Printf("  Swagger UI   http://localhost:%d/swagger/\n", file.ingress().AppPort)
	for _, a := range file.services() {
		fmt.Printf("  %-12s http://localhost:%d, sidecar http://localhost:%d/v1.0/invoke/%s/method/\n", a.ID, a.AppPort, a.HTTPPort, a.ID)
	}
	fmt.Printf("  data         %s\n  logs         %s\n", dataDir, logDir)
	fmt.Printf(`
Try it:

  curl -i http://localhost:%d/api/account/register/ -H 'Content-Type: application/json' \
    -d '{"cpf":"52998224725","name":"Ana Souza","password":"senha-da-ana"}'

or, in another terminal, make demo. Ctrl-C ends everything; the data stays.

`, file.ingress().AppPort)
}

// lock refuses a second run on the same data.
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
