// Command bench measures the system through its front door: how many operations per second it does from how many
// connections, how long one takes, and what it costs. `make bench` runs it; docs/performance.md explains the figures.
//
// It starts a stack of its own, on SQLite and the embedded broker, or on the servers that .ci/backends env names. The
// machine's speed drifts, so each operation runs between two runs of the floor (a request that is refused at the end of the
// same way), and its rate is told as a part of theirs. Afterwards the books are checked: a run with a violation has no
// figures. It exits with 1 if a request had no answer, or one of 500 or above.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

// options say what to measure.
type options struct {
	connections list          // how many connections at the same time
	operations  list          // which operations
	rounds      int           // how often all of it
	duration    time.Duration // of a run
	warmUp      time.Duration // of transfers before the first run
	sustained   time.Duration // of the run whose fees are awaited; 0 for none
	soak        time.Duration // of the run that shows memory; 0 for none
	crowd       time.Duration // of the run from 1,000 connections; 0 for none
	accounts    int
	seeded      int    // accounts that are in the databases before; 0 for none
	out         string // folder of the results
}

// list is a flag of words between commas.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

// Set implements flag.Value.
func (l *list) Set(text string) error {
	*l = strings.Split(text, ",")
	return nil
}

func main() {
	o := options{connections: list{"1", "32", "256"}, operations: list{"uniform", "hot", "deposit", "balance", "statement"}}
	flag.Var(&o.connections, "connections", "how many at the same time")
	flag.Var(&o.operations, "operations", "which")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each; the medians are told")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "of a run, in whole seconds")
	flag.DurationVar(&o.warmUp, "warmup", 30*time.Second, "of transfers, in whole seconds, before anything is measured")
	flag.DurationVar(&o.sustained, "sustained", 2*time.Minute, "of the run whose fees are awaited; 0 for none")
	flag.DurationVar(&o.crowd, "crowd", time.Minute, "of the run from 1,000 connections; 0 for none")
	flag.DurationVar(&o.soak, "soak", 0, "of the run that shows whether memory grows; 0 for none")
	flag.IntVar(&o.accounts, "accounts", 1000, "how many customers send requests")
	flag.IntVar(&o.seeded, "seeded", 0, "accounts that the databases hold before, with 10 movements each; PostgreSQL only")
	flag.StringVar(&o.out, "out", "bench-results", "folder for bench.json and bench.svg")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	s, err := start(ctx, o)
	if s != nil {
		defer func() { err = errors.Join(err, s.Stop(err != nil)) }()
	}
	if err != nil {
		return err
	}
	results, err := measure(ctx, s, o)
	if err != nil {
		return err
	}
	if err := verify(ctx, s); err != nil {
		return fmt.Errorf("the books are wrong, so there are no figures: %w", err)
	}
	results.print(out)
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	return errors.Join(results.writeJSON(filepath.Join(o.out, "bench.json")), results.plot(filepath.Join(o.out, "bench.svg")), results.failed())
}

// start starts the system on the profile that -profile names.
func start(ctx context.Context, o options) (*stack.Stack, error) {
	profile, err := bank.Profile()
	if err != nil {
		return nil, err
	}
	if o.seeded > 0 && profile.Name() != stack.Servers {
		return nil, errors.New("-seeded takes PostgreSQL: -profile " + stack.Servers)
	}
	return stack.Start(ctx, stack.Options{
		Profile: profile,
		Env:     map[string]string{"REGISTRATION_RATE_LIMIT": "1000000"}, // all customers come from one address
	})
}

// restTimeout is how long verify waits for what is still on its way: unfinished transfers, and events that nobody waits for.
const restTimeout = time.Minute

// verify checks each service's books and those across, once nothing is on its way.
func verify(ctx context.Context, s *stack.Stack) error {
	for end := time.Now().Add(restTimeout); ; {
		_, err := s.Ops(ctx, "verify", "-at-rest")
		if err == nil {
			return s.Verify(ctx)
		}
		if time.Now().After(end) {
			return errors.Join(err, s.Verify(ctx))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
