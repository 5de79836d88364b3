// Package bank is what the end-to-end suite and the fault matrix share: the whole system as it runs, its customers, its
// books, and what must hold of them after all tests.
package bank

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

	"github.com/bankmore/bankmore/client"
	"github.com/bankmore/bankmore/e2e/contract"
	"github.com/bankmore/bankmore/e2e/stack"
)

// Bank is a system that runs. The tests of a package share one and run one after another, since some of them end processes.
type Bank struct {
	*stack.Stack

	Contract  *contract.Book    // of the OpenAPI documents
	Transport http.RoundTripper // checks every exchange against them
	API       *client.Client    // through the ingress

	secrets secrets
}

var profileFlag = flag.String("profile", stack.Embedded, "what the system stands on: "+stack.Embedded+" or "+stack.Servers)

// Profile returns the profile that -profile names.
func Profile() (stack.Profile, error) { return stack.NewProfile(*profileFlag) }

// Run starts a bank on the profile that -profile names, gives it to use, runs the tests of m, makes the checks, and stops the
// bank. It returns the exit code.
func Run(m *testing.M, options stack.Options, use func(*Bank), checks []Check) (code int) {
	if flag.Lookup("test.list").Value.String() != "" {
		return m.Run() // which runs nothing
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	b := new(Bank)
	var err error
	if options.Profile, err = Profile(); err == nil {
		b.Stack, err = stack.Start(ctx, options)
	}
	if b.Stack != nil {
		disarm := context.AfterFunc(ctx, func() { // an interrupted run leaves nothing behind either
			fmt.Fprintln(os.Stderr, "interrupted:", b.Stop(false))
			os.Exit(130)
		})
		defer func() {
			disarm()
			code = b.finish(code)
		}()
	}
	if err == nil {
		err = b.open(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the stack does not start:", err)
		return 1
	}
	fmt.Printf("stack on %s started in %.1f s: %s\n", *profileFlag, time.Since(began).Seconds(), b.URL())
	use(b)
	if code = m.Run(); b.fails(checks) {
		code = 1
	}
	return code
}

// RunAt runs the tests of m on a system that somebody else has started at a URL, on the profile that -profile names, and makes
// the checks. It returns the exit code.
func RunAt(m *testing.M, url string, use func(*Bank), checks []Check) (code int) {
	if flag.Lookup("test.list").Value.String() != "" {
		return m.Run() // which runs nothing
	}
	ctx, b := context.Background(), new(Bank)
	bin, err := os.MkdirTemp("", "bankmore-e2e-*")
	defer os.RemoveAll(bin)
	var options stack.Options
	if err == nil {
		options.Profile, err = Profile()
	}
	if err == nil {
		b.Stack, err = stack.At(ctx, url, bin, options)
	}
	if err == nil {
		err = b.open(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "no system at", url+":", err)
		return 1
	}
	use(b)
	if code = m.Run(); b.fails(checks) {
		code = 1
	}
	return code
}

// finish stops the stack and shows what is needed to understand a failure.
func (b *Bank) finish(code int) int {
	failed := code != 0
	if failed {
		fmt.Fprintf(os.Stderr, "the ends of all logs; %s keeps everything:\n%s\n", b.Dir, b.LogTails())
	}
	if err := b.Stop(failed); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: stopping the stack:", err)
		return 1
	}
	return code
}

// open fetches the OpenAPI documents through the ingress and makes the client.
func (b *Bank) open(ctx context.Context) error {
	documents := map[string][]byte{}
	var errs []error
	for _, name := range []string{"account", "transfer", "fee"} {
		document, err := Fetch(ctx, b.URL()+"/api/schema/"+name)
		documents[name] = document
		errs = append(errs, err)
	}
	err := errors.Join(errs...)
	if err != nil {
		return err
	}
	if b.Contract, err = contract.Read(documents); err != nil {
		return err
	}
	b.Transport = b.Stack.Transport(b.Contract.Transport(&http.Transport{MaxIdleConnsPerHost: 100}))
	b.API = client.New(client.Ingress(b.URL()), b.Transport)
	return nil
}

// Fetch gets what is at a URL.
func Fetch(ctx context.Context, url string) ([]byte, error) {
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

// partial reports whether only some of the tests run. Then nobody can ask what all of them together must cover.
func partial() bool {
	return flag.Lookup("test.run").Value.String() != "" || flag.Lookup("test.skip").Value.String() != ""
}
