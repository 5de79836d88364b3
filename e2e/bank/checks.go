package bank

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bankmore/bankmore/e2e/stack"
)

// Check is what must hold once all tests have run, whatever their order.
type Check struct {
	What string
	Find func(*Bank) error // an error that names what does not hold
}

// What must hold of a bank once all tests have run.
var (
	NoCrash           = Check{"no process has crashed", func(b *Bank) error { return b.Crashed() }}
	SidecarsComplete  = Check{"no sidecar has gone on without something", (*Bank).sidecarsComplete}
	ContractKept      = Check{"every exchange keeps the OpenAPI documents", func(b *Bank) error { return listed(b.Contract.Violations()) }}
	ContractExercised = Check{"every documented success has been exercised", (*Bank).contractExercised}
	EachVerified      = Check{"the services' own verify finds nothing", func(b *Bank) error { return b.Verify(context.Background()) }}
	AcrossVerified    = Check{"the three databases tell one story", (*Bank).verifyAcross}
	LogsHoldNoSecret  = Check{"logs hold no CPF, account number, password or token", (*Bank).logsHoldNoSecret}
)

// fails makes checks and prints what does not hold.
func (b *Bank) fails(checks []Check) (failed bool) {
	for _, check := range checks {
		if err := check.Find(b); err != nil {
			fmt.Printf("--- FAIL: after all tests: %s:\n%v\n", check.What, err)
			failed = true
		}
	}
	return failed
}

// shown is how many of many problems are printed.
const shown = 20

func listed(problems []string) error {
	if len(problems) == 0 {
		return nil
	}
	text := strings.Join(problems[:min(shown, len(problems))], "\n")
	if len(problems) > shown {
		text += fmt.Sprintf("\n… and %d more", len(problems)-shown)
	}
	return errors.New(text)
}

func (b *Bank) contractExercised() error {
	if partial() {
		fmt.Println("not checked, since only some tests ran: that every documented success has been exercised")
		return nil
	}
	return listed(b.Contract.Unexercised())
}

// sidecarsComplete looks in the sidecars' logs for components that daprd has failed to start and then does without. (Its API
// tells of components, but not of names. The ingress's sidecar logs errors only; it finds the others, or the stack would not
// have opened.)
func (b *Bank) sidecarsComplete() error {
	var found []string
	for _, app := range b.Apps {
		log, err := os.ReadFile(app.Sidecar.LogFile())
		if err != nil {
			return err
		}
		if app.ID != stack.Ingress && !bytes.Contains(log, []byte("Initialized name resolution to ")) {
			found = append(found, app.Sidecar.Name()+" cannot find other apps")
		}
		for _, line := range doneWithout(log) {
			found = append(found, app.Sidecar.Name()+": "+line)
		}
	}
	return listed(found)
}

// doneWithout returns what a sidecar's log says of components that failed to start in a life of the sidecar that went on. A
// sidecar that starts while the broker is down ends itself, and whoever supervises it starts it again: that is no fault.
func doneWithout(log []byte) []string {
	var found, life []string
	for line := range bytes.Lines(log) {
		switch {
		case bytes.Contains(line, []byte("Fatal error from runtime")):
			life = nil
		case bytes.Contains(line, []byte("Starting Dapr Runtime")):
			found = append(found, life...)
			life = nil
		case bytes.Contains(line, []byte("_COMPONENT_FAILURE")):
			life = append(life, fmt.Sprintf("%.500s", bytes.TrimSpace(line)))
		}
	}
	return append(found, life...)
}

func (b *Bank) verifyAcross() error {
	return Within(time.Minute, func() error { // what the last test began comes to its end
		_, err := b.Ops(context.Background(), "verify", "-at-rest")
		return err
	})
}

func (b *Bank) logsHoldNoSecret() error {
	searched := b.Secrets()
	if !partial() && len(searched) < 50 {
		return fmt.Errorf("only %d secrets were in use: the search would prove nothing", len(searched))
	}
	var found []string
	requests := 0
	for _, p := range b.Processes() {
		log, err := os.ReadFile(p.LogFile())
		if err != nil {
			return err
		}
		requests += bytes.Count(log, []byte(`"msg":"request"`))
		for _, secret := range searched {
			if i := bytes.Index(log, []byte(secret)); i >= 0 {
				line := log[bytes.LastIndexByte(log[:i], '\n')+1:]
				line, _, _ = bytes.Cut(line, []byte("\n"))
				found = append(found, fmt.Sprintf("%s: %q in %.500s", filepath.Base(p.LogFile()), secret, line))
			}
		}
	}
	if requests == 0 {
		return errors.New("the logs tell of no request: the search proves nothing")
	}
	return listed(found)
}
