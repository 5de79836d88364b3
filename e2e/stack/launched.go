package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/bankmore/bankmore/launcher/build"
	"github.com/bankmore/bankmore/launcher/process"
	"github.com/bankmore/bankmore/launcher/runfile"
)

// Launched is the system as `make run` starts it: by the launcher, in a folder of its own, on free ports.
type Launched struct {
	*Process // the launcher
	Dir      string
	Apps     []runfile.App // as in the folder's run file
	Broker   int           // its port

	ports *portBlock
}

// BuildLaunched compiles the services and the launcher into the folder bin.
func BuildLaunched(ctx context.Context, bin string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	if err := Build(ctx, root, bin, ""); err != nil {
		return err
	}
	if out, err := build.Command(ctx, root, "-o", filepath.Join(bin, launcherName), "./launcher").CombinedOutput(); err != nil {
		return fmt.Errorf("building the launcher: %w\n%s", err, out)
	}
	return nil
}

const launcherName = "launcher"

// NewLaunched prepares the folder; bin is what BuildLaunched has filled. It starts nothing. If edit is not nil, it changes
// the run file.
func NewLaunched(bin string, edit func(runFile string) string) (l *Launched, err error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	programs, err := findTools(root)
	if err != nil {
		return nil, err
	}
	l = &Launched{}
	if l.ports, err = claimPorts(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if l.Dir, err = os.MkdirTemp("", "bankmore-launched-"); err != nil {
		return nil, err
	}
	if err := copyConfiguration(root, l.Dir); err != nil {
		return nil, err
	}
	if err := l.writeRunFile(root, edit); err != nil {
		return nil, err
	}
	caddy := filepath.Join(l.Dir, ".tools", "bin", "caddy") // as the run file names it
	if err := errors.Join(os.MkdirAll(filepath.Dir(caddy), 0o700), os.Symlink(programs.caddy, caddy)); err != nil {
		return nil, err
	}
	if err := os.Symlink(bin, filepath.Join(l.Dir, "bin")); err != nil {
		return nil, err
	}
	l.Broker = l.ports.take()
	env := map[string]string{"BANKMORE_DAPRD": programs.daprd, "BANKMORE_BROKER": programs.broker}
	l.Process = (&Stack{Dir: l.Dir}).process(launcherName, []string{filepath.Join(bin, launcherName), "-build=false", "-broker", loopback(l.Broker)}, env, 2*serviceGrace, l.open)
	return l, nil
}

// writeRunFile copies dapr.yaml with a free port in the place of each port.
func (l *Launched) writeRunFile(root string, edit func(string) string) error {
	raw, err := os.ReadFile(filepath.Join(root, "dapr.yaml"))
	if err != nil {
		return err
	}
	text := string(raw)
	if edit != nil {
		text = edit(text)
	}
	usual, err := runfile.Read(filepath.Join(root, "dapr.yaml"))
	if err != nil {
		return err
	}
	for _, a := range usual {
		for _, port := range portsOf(a) {
			text = regexp.MustCompile(fmt.Sprintf(`\b%d\b`, port)).ReplaceAllString(text, strconv.Itoa(l.ports.take()))
		}
	}
	file := filepath.Join(l.Dir, "dapr.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	l.Apps, err = runfile.Read(file)
	return err
}

func portsOf(a runfile.App) []int {
	return []int{a.AppPort, a.HTTPPort, a.GRPCPort, a.InternalPort, a.MetricsPort}
}

// URL is the front door: the ingress.
func (l *Launched) URL() string {
	for _, a := range l.Apps {
		if a.ID == Ingress {
			return "http://" + loopback(a.AppPort)
		}
	}
	return ""
}

// Output is what the launcher has printed so far.
func (l *Launched) Output() string {
	raw, err := os.ReadFile(l.LogFile())
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// open is when the launcher says so.
func (l *Launched) open(context.Context) error {
	if !strings.Contains(l.Output(), "BankMore is ready") {
		return errors.New("the launcher does not say that it is ready")
	}
	return nil
}

// Answers returns an error unless every service answers through the ingress.
func (l *Launched) Answers(ctx context.Context) error {
	for _, probe := range probes {
		if err := process.Expect(ctx, l.URL()+probe, http.StatusUnauthorized); err != nil {
			return err
		}
	}
	return nil
}

// Left names the ports that somebody listens on.
func (l *Launched) Left() (busy []int) {
	ports := []int{l.Broker}
	for _, a := range l.Apps {
		ports = append(ports, portsOf(a)...)
	}
	for _, port := range ports {
		listener, err := net.Listen("tcp", loopback(port))
		if err != nil {
			busy = append(busy, port)
			continue
		}
		listener.Close()
	}
	return busy
}

// Close ends the launcher, if it runs, and removes the folder.
func (l *Launched) Close() error {
	var err error
	if l.Process != nil && l.Running() {
		err = l.Terminate()
	}
	return errors.Join(err, l.ports.release(), os.RemoveAll(l.Dir))
}
