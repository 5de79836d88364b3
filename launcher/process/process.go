// Package process starts programs, waits until they are ready, and ends them together with their own child processes. On Linux
// they also end when the program that uses this package ends, even if it is killed.
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
	LogFile string                          // the program's output is appended to it
	Ready   func(ctx context.Context) error // nil once the program is ready
	Grace   time.Duration                   // how long the program may take to end after SIGTERM
}

// Process is one program. It can be started, ended and started again.
type Process struct {
	spec Spec

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
	asked  bool          // a method of Process made cmd end
	served bool          // cmd was ready once

	crashes []error // crashes of earlier starts
}

// How long a process may take to get ready, and the interval between two checks.
const (
	startTimeout = 60 * time.Second
	pollInterval = 25 * time.Millisecond
)

// New returns a process that does not run yet.
func New(spec Spec) *Process { return &Process{spec: spec} }

// Name returns Spec.Name.
func (p *Process) Name() string { return p.spec.Name }

// LogFile returns the path of the file that gets the process's output.
func (p *Process) LogFile() string { return p.spec.LogFile }

// PID returns the id of the process that was started last, even if it has ended; 0 if none was started.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// SetEnv adds an environment variable, from the next start on.
func (p *Process) SetEnv(name, value string) { p.spec.Env = append(p.spec.Env, name+"="+value) }

// AddArguments adds arguments, from the next start on. If a flag is given twice, the program takes the last.
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

// WaitReady waits until Spec.Ready returns nil. It returns an error with the end of the log if the process ends before, if ctx
// ends, or after 60 s.
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

// Run runs a subcommand of the same program and returns its output. The subcommand gets the same environment, overridden by
// env (NAME=value).
func (p *Process) Run(subcommand string, env ...string) ([]byte, error) {
	return p.RunWith([]string{subcommand}, env...)
}

// RunWith is Run for a subcommand with arguments.
func (p *Process) RunWith(arguments []string, env ...string) ([]byte, error) {
	cmd := exec.Command(p.spec.Command[0], arguments...)
	cmd.Dir, cmd.Env = p.spec.Dir, slices.Concat(p.spec.Env, env)
	return cmd.CombinedOutput()
}

// Kill ends the process with SIGKILL, as a crash would, and waits until it is gone.
func (p *Process) Kill() error { return p.end(context.Background(), syscall.SIGKILL, 10*time.Second) }

// Terminate ends the process with SIGTERM, as a deployment would, and waits until it is gone. If the process needs longer than
// Spec.Grace, Terminate kills it and returns an error.
func (p *Process) Terminate() error { return p.Stop(context.Background()) }

// Stop is Terminate, but also kills the process as soon as ctx ends.
func (p *Process) Stop(ctx context.Context) error { return p.end(ctx, syscall.SIGTERM, p.spec.Grace) }

// Pause halts the process with SIGSTOP, so that it behaves as on a machine that hangs. On Linux, Pause returns once all of its
// threads stand still: on a busy machine they go on for some milliseconds after the signal.
func (p *Process) Pause() error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		still, err := halted(p.PID())
		if still || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not halt", p.spec.Name)
		}
	}
}

// Resume lets a paused process go on.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

// Running reports whether the process runs. A paused process counts as running.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running()
}

// Exited returns a channel that is closed when the process that was started last has ended. It returns nil before the first
// start.
func (p *Process) Exited() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exited
}

// Status returns how the process that was started last has ended; "" if it runs or none was started.
func (p *Process) Status() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.running() {
		return ""
	}
	return p.cmd.ProcessState.String()
}

// Crashed returns an error for each time that the process ended by itself, not by a method of Process, even if it was started
// again since. It leaves out a start that was never ready and was followed by another: what the process needs was not there.
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

// AwaitKilled waits up to 10 s until the process has killed itself with SIGKILL, for example at a crash point. That end then does
// not count for Crashed. If the process ends otherwise or does not end, AwaitKilled returns an error.
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

// sweep kills every process that is left in the group, such as children for which the process did not wait.
func (p *Process) sweep() error {
	if p.cmd == nil {
		return nil
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%s: %w", p.spec.Name, err)
	}
	return nil
}

// Gone waits up to 5 s until no process of the group is left. It returns an error if one is.
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

// tailBytes is how much of a log LogTail returns at most.
const tailBytes = 4 << 10

// LogTail returns the end of the process's log.
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

// starts passes every start of a process to one goroutine whose thread lives as long as this program. On Linux a child dies
// with the thread that started it (see attributes).
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
