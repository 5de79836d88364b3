// Package e2e_test runs the whole system as its users meet it: three services, each behind a real daprd, a broker that
// speaks Kafka's protocol, and the ingress.
package e2e_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/client"
	"github.com/bankmore/bankmore/e2e/contract"
	"github.com/bankmore/bankmore/e2e/stack"
)

// What all tests share. They run one after another, since some of them end processes.
var (
	system    *stack.Stack
	book      *contract.Book
	transport http.RoundTripper // checks every exchange against the OpenAPI documents
	api       *client.Client    // through the ingress
)

// runningAt is the front door of a system that runs already, such as on a cluster, for the tests that need no more than
// this door and the books.
var runningAt = flag.String("url", "", "the front door of a system that runs already: try that one")

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	flag.Parse()
	if flag.Lookup("test.list").Value.String() != "" {
		return m.Run() // which runs nothing
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	options, err := profile()
	if *runningAt != "" {
		return runElsewhere(ctx, m, options, err)
	}
	if err == nil {
		adapt(&options)
		system, err = stack.Start(ctx, options)
	}
	if system != nil {
		disarm := context.AfterFunc(ctx, func() { // an interrupted run leaves nothing behind either
			fmt.Fprintln(os.Stderr, "interrupted:", system.Stop(false))
			os.Exit(130)
		})
		defer func() {
			disarm()
			code = finish(code)
		}()
	}
	if err == nil {
		err = openDoors(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the stack does not start:", err)
		return 1
	}
	fmt.Printf("stack started in %.1f s: %s\n", time.Since(began).Seconds(), system.URL())
	if code = m.Run(); checkAfterAll() {
		code = 1
	}
	return code
}

// runElsewhere runs the tests on a system that somebody else has started, and who also asks for its verify.
func runElsewhere(ctx context.Context, m *testing.M, options stack.Options, err error) (code int) {
	system = stack.At(*runningAt, options)
	if err = errors.Join(err, openDoors(ctx)); err != nil {
		fmt.Fprintln(os.Stderr, "no system at", *runningAt+":", err)
		return 1
	}
	code = m.Run()
	if err := contractKept(); err != nil {
		fmt.Printf("--- FAIL: an exchange does not keep the OpenAPI documents:\n%v\n", err)
		code = 1
	}
	return code
}

// finish stops the stack and shows what is needed to understand a failure.
func finish(code int) int {
	failed := code != 0
	if failed {
		fmt.Fprintf(os.Stderr, "the ends of all logs; %s keeps everything:\n%s\n", system.Dir, system.LogTails())
	}
	if err := system.Stop(failed); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: stopping the stack:", err)
		return 1
	}
	return code
}

// openDoors fetches the OpenAPI documents through the ingress and makes the clients.
func openDoors(ctx context.Context) error {
	documents := map[string][]byte{}
	var errs []error
	for _, name := range []string{"account", "transfer", "fee"} {
		document, err := fetch(ctx, system.URL()+"/api/schema/"+name)
		documents[name] = document
		errs = append(errs, err)
	}
	err := errors.Join(errs...)
	if err != nil {
		return err
	}
	if book, err = contract.Read(documents); err != nil {
		return err
	}
	transport = system.Transport(book.Transport(&http.Transport{MaxIdleConnsPerHost: 100}))
	api = client.New(client.OneDoor(system.URL()), transport)
	return nil
}

func fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d: %.200s", url, resp.StatusCode, body)
	}
	return body, err
}

// partial reports whether only some of the tests run, so that what all of them together must cover cannot be asked.
func partial() bool {
	return flag.Lookup("test.run").Value.String() != "" || flag.Lookup("test.skip").Value.String() != ""
}
