// Package process starts programs, waits until they are ready, and ends them, each with everything that it started
// itself. On Linux no program outlives the one that started it, however that ends.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Spec says how a program is started.
type Spec struct {
	Name    string
	Command []string
	Env     []string                        // NAME=value; the program gets no other variables
	Dir     string                          // working directory
	LogFile string                          // gets what the program prints, behind what is there already
	Ready   func(ctx context.Context) error // nil once the program is ready
	Grace   time.Duration                   // how long the program may take to end after SIGTERM
}

// Process is one program. It can be started, ended and started again.
type Process struct {
	spec Spec

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
	asked  bool          // somebody here made it end
	served bool          // cmd was ready once

	crashes []error // of those before cmd
}

// How long a process may take to answer, and how often it is asked.
const (
	startTimeout = 60 * time.Second
	pollInterval = 25 * time.Millisecond
)

// New returns a process that does not run yet.
func New(spec Spec) *Process { return &Process{spec: spec} }

// Name says which program it is.
func (p *Process) Name() string { return p.spec.Name }

// LogFile is where everything goes that the process prints.
func (p *Process) LogFile() string { return p.spec.LogFile }

// PID is the id of the process, or of the last one if it has ended; 0 if it was never started.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// SetEnv gives the process another variable, from its next start on.
func (p *Process) SetEnv(name, value string) { p.spec.Env = append(p.spec.Env, name+"="+value) }

// AddArguments gives the process more arguments, from its next start on. Of a flag that is given twice, the last counts.
func (p *Process) AddArguments(arguments ...string) {
	p.spec.Command = slices.Concat(p.spec.Command, arguments)
}

// Launch starts the process without waiting until it is ready.
func (p *Process) Launch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return fmt.Errorf("%s runs already", p.spec.Name)
	}
	if err := p.sweep(); err != nil {
		return err
	}
	log, err := os.OpenFile(p.spec.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own descriptor
	if p.served {
		p.crashes = append(p.crashes, p.crashed())
	}
	cmd := exec.Command(p.spec.Command[0], p.spec.Command[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.spec.Dir, p.spec.Env, log, log
	cmd.SysProcAttr = attributes()
	if err := onStarter(cmd.Start); err != nil {
		return fmt.Errorf("starting %s: %w", p.spec.Name, err)
	}
	exited := make(chan struct{})
	p.cmd, p.exited, p.asked, p.served = cmd, exited, false, false
	go func() {
		_ = cmd.Wait() // its state is read from cmd.ProcessState
		close(exited)
	}()
	return nil
}

// WaitReady waits until the process answers. If it ends before, or takes too long, the error shows the end of its log.
func (p *Process) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	exited := p.Exited()
	if exited == nil {
		return fmt.Errorf("%s was never started", p.spec.Name)
	}
	for {
		err := p.spec.Ready(ctx)
		if err == nil {
			p.mu.Lock()
			p.served = p.exited == exited
			p.mu.Unlock()
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("%s ended instead of getting ready (%s); its log ends with:\n%s", p.spec.Name, p.cmd.ProcessState, p.LogTail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s: %w; its log ends with:\n%s", p.spec.Name, startTimeout, err, p.LogTail())
		case <-time.After(pollInterval):
		}
	}
}

// Start starts the process and waits until it is ready.
func (p *Process) Start(ctx context.Context) error {
	if err := p.Launch(); err != nil {
		return err
	}
	return p.WaitReady(ctx)
}

// Run runs another subcommand of the same program, with the same environment but for some NAME=value, and returns what
// it prints.
func (p *Process) Run(subcommand string, env ...string) ([]byte, error) {
	return p.RunWith([]string{subcommand}, env...)
}

// RunWith is Run of a subcommand that takes arguments.
func (p *Process) RunWith(arguments []string, env ...string) ([]byte, error) {
	cmd := exec.Command(p.spec.Command[0], arguments...)
	cmd.Dir, cmd.Env = p.spec.Dir, slices.Concat(p.spec.Env, env)
	return cmd.CombinedOutput()
}

// Kill ends the process with SIGKILL, as a crash would, and waits until it is gone.
func (p *Process) Kill() error { return p.end(context.Background(), syscall.SIGKILL, 10*time.Second) }

// Terminate ends the process with SIGTERM, as a deployment would, and waits until it is gone. Needing longer than its
// grace period is an error, and then it is killed.
func (p *Process) Terminate() error { return p.Stop(context.Background()) }

// Stop is Terminate by somebody who loses patience when ctx ends: then the process is killed.
func (p *Process) Stop(ctx context.Context) error { return p.end(ctx, syscall.SIGTERM, p.spec.Grace) }

// Pause stops the process with SIGSTOP, as a machine that hangs would; Resume lets it go on.
func (p *Process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

// Running reports whether the process is there.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running()
}

// Exited is closed when the process that was launched last has ended. It is nil before the first launch.
func (p *Process) Exited() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exited
}

// Status says how the process that was launched last has ended; "" if it runs or was never started.
func (p *Process) Status() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.running() {
		return ""
	}
	return p.cmd.ProcessState.String()
}

// Crashed returns an error if the process ended without anybody here having asked for it, also if it was started again
// since. One that was started again without having been ready is forgiven: what it needs was away.
func (p *Process) Crashed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(append(slices.Clone(p.crashes), p.crashed())...)
}

func (p *Process) crashed() error {
	if p.cmd == nil || p.asked || p.running() {
		return nil
	}
	return fmt.Errorf("%s ended by itself (%s); its log ends with:\n%s", p.spec.Name, p.cmd.ProcessState, p.LogTail())
}

// AwaitKilled waits until the process has killed itself with SIGKILL, as it was told to do by other means than this
// package's, and no longer takes this for a crash. Any other end is an error.
func (p *Process) AwaitKilled() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		return fmt.Errorf("%s does not end", p.spec.Name)
	}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		return fmt.Errorf("%s ended by itself (%s)", p.spec.Name, p.cmd.ProcessState)
	}
	p.asked = true
	return nil
}

func (p *Process) running() bool {
	if p.exited == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (p *Process) signal(signal syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return fmt.Errorf("%s: %s: not running", p.spec.Name, signal)
	}
	return syscall.Kill(-p.cmd.Process.Pid, signal) // the whole group
}

func (p *Process) end(ctx context.Context, signal syscall.Signal, limit time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return p.sweep()
	}
	p.asked = true
	err := syscall.Kill(-p.cmd.Process.Pid, signal)
	select {
	case <-p.exited:
	case <-ctx.Done():
	case <-time.After(limit):
		err = errors.Join(err, fmt.Errorf("%s is still there %s after %s", p.spec.Name, limit, signal))
	}
	err = errors.Join(err, p.sweep())
	<-p.exited
	return err
}

// sweep kills whatever the process's group still holds, even children that the process did not wait for.
func (p *Process) sweep() error {
	if p.cmd == nil {
		return nil
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%s: %w", p.spec.Name, err)
	}
	return nil
}

// Gone waits until nothing of the process's group is left. It returns an error if something stays.
func (p *Process) Gone() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(pollInterval) {
		err := syscall.Kill(-p.cmd.Process.Pid, 0)
		if errors.Is(err, syscall.ESRCH) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: process group %d is still there", p.spec.Name, p.cmd.Process.Pid)
		}
	}
}

// tailBytes is how much of a log is shown.
const tailBytes = 4 << 10

// LogTail is the end of the process's log.
func (p *Process) LogTail() string {
	log, err := os.ReadFile(p.spec.LogFile)
	if err != nil {
		return err.Error()
	}
	if len(log) > tailBytes {
		log = log[len(log)-tailBytes:]
		if i := bytes.IndexByte(log, '\n'); i >= 0 {
			log = log[i+1:]
		}
	}
	return fmt.Sprintf("--- %s\n%s", filepath.Base(p.spec.LogFile), log)
}

// starts carries process starts to one goroutine whose thread lives as long as this program does: on Linux a child
// dies with the thread that started it (see attributes).
var starts = sync.OnceValue(func() chan func() {
	queue := make(chan func())
	go func() {
		runtime.LockOSThread()
		for start := range queue {
			start()
		}
	}()
	return queue
})

func onStarter(start func() error) error {
	result := make(chan error)
	starts() <- func() { result <- start() }
	return <-result
}
