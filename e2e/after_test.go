package e2e_test

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

// afterAll is what must hold once all tests have run, whatever their order.
var afterAll = []struct {
	what  string
	check func() error
}{
	{"no process has crashed", func() error { return system.Crashed() }},
	{"no sidecar has gone on without something", sidecarsComplete},
	{"every exchange keeps the OpenAPI documents", contractKept},
	{"every documented success has been exercised", contractExercised},
	{"the services' own verify finds nothing", verifyAll},
	{"the three databases tell one story", verifyAcross},
	{"logs hold no CPF, account number, password or token", logsHoldNoSecret},
}

// checkAfterAll reports what does not hold.
func checkAfterAll() (failed bool) {
	for _, law := range afterAll {
		if err := law.check(); err != nil {
			fmt.Printf("--- FAIL: after all tests: %s:\n%v\n", law.what, err)
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

func contractKept() error { return listed(book.Violations()) }

func contractExercised() error {
	if partial() {
		fmt.Println("not checked, since only some tests ran: that every documented success has been exercised")
		return nil
	}
	return listed(book.Unexercised())
}

func verifyAll() error {
	var errs []error
	for _, id := range stack.Services {
		out, err := system.Apps[id].Service.Run("verify")
		if err != nil {
			err = fmt.Errorf("%s verify: %w\n%s", id, err, out)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// sidecarsComplete looks for what daprd logs and then does without. (Its API tells of components, but not of names. The
// ingress's sidecar logs errors only; it finds the others, or the stack would not have opened.)
func sidecarsComplete() error {
	var found []string
	for _, app := range system.Apps {
		log, err := os.ReadFile(app.Sidecar.LogFile())
		if err != nil {
			return err
		}
		if app.ID != stack.Ingress && !bytes.Contains(log, []byte("Initialized name resolution to ")) {
			found = append(found, app.Sidecar.Name()+" cannot find other apps")
		}
		for line := range bytes.Lines(log) {
			if bytes.Contains(line, []byte("_COMPONENT_FAILURE")) {
				found = append(found, fmt.Sprintf("%s: %.500s", app.Sidecar.Name(), line))
			}
		}
	}
	return listed(found)
}

func verifyAcross() error {
	return within(time.Minute, func() error { // what the last test began comes to its end
		_, err := system.Ops(context.Background(), "verify", "-at-rest")
		return err
	})
}

func logsHoldNoSecret() error {
	secrets.Lock()
	defer secrets.Unlock()
	if !partial() && len(secrets.all) < 50 {
		return fmt.Errorf("only %d secrets were in use: the search would prove nothing", len(secrets.all))
	}
	searched := append([]string{system.AppToken, system.APIToken, system.JWTSecret}, secrets.all...)
	var found []string
	requests := 0
	for _, p := range system.Processes() {
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
