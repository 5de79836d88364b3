package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// How long things may take, and how often we look.
const (
	readyTimeout  = 90 * time.Second
	brokerTimeout = 30 * time.Second
	drainTimeout  = 25 * time.Second // of one program after SIGTERM; a service drains for up to 15 s
	pollInterval  = 100 * time.Millisecond
	watchInterval = time.Second
	// The CLI starts an app at once after its sidecar. One that is not there by then has ended.
	appearTimeout = 3 * time.Second
)

// stack is what runs: the broker, and the Dapr CLI with all that it starts, which is its process group.
type stack struct {
	file   runFile
	broker *child
	cli    *child
	seen   map[string]time.Time // when each part was first there
}

// child is a process of ours, in a group of its own, so that a Ctrl-C in the terminal reaches only us.
type child struct {
	name   string
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
}

func start(name string, stdout io.Writer, env []string, program string, args ...string) (*child, error) {
	c := &child{name: name, log: filepath.Join(logDir, name+".log"), exited: make(chan struct{})}
	log, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.cmd = exec.Command(program, args...)
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if stdout != nil {
		c.cmd.Stdout = stdout
	}
	c.cmd.SysProcAttr = childAttributes()
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.exited)
	}()
	return c, nil
}

func (c *child) ended() bool {
	select {
	case <-c.exited:
		return true
	default:
		return false
	}
}

// terminate asks the child to end, and makes it.
func (c *child) terminate(limit time.Duration) {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(limit):
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
}

func (s *stack) startBroker(address string) error {
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	s.broker, err = start("broker", in, nil, toolDir+"/bin/broker", "-address", address, "-data", dataDir+"/broker")
	_ = in.Close()
	if err != nil {
		return err
	}
	_ = out.SetReadDeadline(time.Now().Add(brokerTimeout))
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "ready") {
		return fmt.Errorf("the broker did not start; %s", tail(s.broker.log))
	}
	return nil
}

// startDapr runs `dapr run`. What sidecars need is in the environment; the run file's env reaches apps only.
func (s *stack) startDapr(d dapr, kafka string) (err error) {
	home, err := d.runtimePath()
	if err != nil {
		return err
	}
	cli := d.cli
	if cli == "" {
		cli = toolDir + "/bin/dapr"
	}
	env := []string{
		"DAPR_RUNTIME_PATH=" + home,
		"DAPR_HOST_IP=127.0.0.1", // what sidecars tell each other
		kafkaVariable + "=" + kafka,
		"APP_API_TOKEN=" + rand.Text(),
	}
	s.cli, err = start("dapr", nil, env, cli, "run", "-f", runFilePath)
	return err
}

// waitReady waits until each service is ready and its sidecar is reached through the ingress.
func (s *stack) waitReady(ctx context.Context) error {
	deadline := time.Now().Add(readyTimeout)
	for said := time.Now(); ; time.Sleep(pollInterval) {
		problem := s.notReady(ctx)
		if problem == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.died(); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready after %s: %w; the logs are in %s", readyTimeout, problem, logDir)
		}
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			fmt.Printf("  waiting: %v\n", problem)
		}
	}
}

func (s *stack) notReady(ctx context.Context) error {
	front := fmt.Sprintf("http://127.0.0.1:%d", s.file.ingress().AppPort)
	urls := []string{front + "/healthz"}
	for _, a := range s.file.services() {
		urls = append(urls, fmt.Sprintf("http://127.0.0.1:%d/readyz", a.AppPort), front+"/api/schema/"+strings.TrimSuffix(a.ID, "-svc"))
	}
	for _, url := range urls {
		if err := answers(ctx, url); err != nil {
			return err
		}
	}
	return nil
}

var client = &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func answers(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // else the ingress warns of an aborted answer
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}

// watch returns when ctx ends, or with an error when a part ends by itself: the CLI goes on without it.
func (s *stack) watch(ctx context.Context) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if err := s.died(); err != nil {
				return err
			}
		}
	}
}

// died returns an error that names the first part found missing, with the end of its log.
func (s *stack) died() error {
	for _, c := range []*child{s.broker, s.cli} {
		if c != nil && c.ended() {
			return fmt.Errorf("%s ended by itself (%s); %s", c.name, c.cmd.ProcessState, tail(c.log))
		}
	}
	running, err := s.running()
	if err != nil {
		return err
	}
	now := time.Now()
	for _, a := range s.file.Apps {
		for _, part := range []string{a.ID, sidecarOf(a)} {
			_, there := running[part]
			_, known := s.seen[part]
			switch {
			case there && !known:
				s.seen[part] = now
			case !there && known:
				return fmt.Errorf("%s ended by itself; %s", part, tail(s.logOf(part)))
			case !there && part == a.ID:
				since, started := s.seen[sidecarOf(a)]
				if started && now.Sub(since) > appearTimeout {
					return fmt.Errorf("%s ended at once; %s", part, tail(s.logOf(part)))
				}
			}
		}
	}
	return nil
}

func sidecarOf(a app) string { return "the sidecar of " + a.ID }

// running maps the parts that the CLI started to their processes.
func (s *stack) running() (map[string]int, error) {
	members, err := group(s.cli.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	running := map[string]int{}
	for _, p := range members {
		for _, a := range s.file.Apps {
			switch {
			case strings.HasPrefix(p.command+" ", strings.Join(a.Command, " ")+" "):
				running[a.ID] = p.pid
			case strings.Contains(p.command, "--app-id "+a.ID+" "):
				running[sidecarOf(a)] = p.pid
			}
		}
	}
	return running, nil
}

// logOf is the newest log file of a part.
func (s *stack) logOf(part string) string {
	pattern := part + "_app_*"
	if id, ok := strings.CutPrefix(part, "the sidecar of "); ok {
		pattern = id + "_daprd_*"
	}
	files, _ := filepath.Glob(filepath.Join(logDir, pattern))
	if len(files) == 0 {
		return s.cli.log
	}
	return slices.Max(files) // their names end with the time
}

// tail is the end of a log, with its name.
func tail(path string) string {
	const lines = 15
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(raw), []byte("\n"))
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return fmt.Sprintf("the end of %s:\n\n%s\n", path, bytes.Join(all, []byte("\n")))
}

// stop ends everything: ingress, services, sidecars, CLI, broker, each when the one before has ended. The CLI itself
// would kill apps and sidecars at once. A second signal does the same.
func (s *stack) stop() error {
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(again)
	fmt.Println("\nstopping")

	var err error
	if s.cli != nil {
		var sidecars []string
		for _, a := range slices.Backward(s.file.Apps) { // callers before those they call
			s.end(again, a.ID)
			sidecars = append(sidecars, sidecarOf(a))
		}
		s.end(again, sidecars...)
		s.cli.terminate(5 * time.Second)
		err = s.sweep()
	}
	if s.broker != nil {
		s.broker.terminate(drainTimeout)
	}
	if err == nil {
		fmt.Println("stopped; the data is in " + dataDir)
	}
	return err
}

// end asks parts to end and waits for them, unless the user has no patience.
func (s *stack) end(again <-chan os.Signal, parts ...string) {
	asked := false
	for deadline := time.Now().Add(drainTimeout); time.Now().Before(deadline); {
		running, err := s.running()
		if err != nil {
			return
		}
		left := false
		for _, part := range parts {
			if pid, ok := running[part]; ok {
				left = true
				if !asked {
					_ = syscall.Kill(pid, syscall.SIGTERM)
				}
			}
		}
		if !left {
			return
		}
		asked = true
		select {
		case <-again:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	fmt.Printf("%s did not end in time\n", strings.Join(parts, ", "))
}

// sweep kills what is left of the CLI's group and makes sure of it.
func (s *stack) sweep() error {
	pid := s.cli.cmd.Process.Pid
	for range 100 {
		left, err := group(pid)
		if err != nil || len(left) == 0 {
			return err
		}
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("some processes would not end")
}
