package stack

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

// Process is one program of the stack. It can be started, ended and started again, with the same ports and data.
type Process struct {
	name    string
	command []string
	env     []string
	dir     string
	logFile string
	ready   func(ctx context.Context) error
	grace   time.Duration // how long it may take to end after SIGTERM

	crashpoints string // folder of its traps; "" for a program without crash points

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
	asked  bool          // somebody here made it end
}

// How long a process may take to answer, and how often it is asked.
const (
	startTimeout = 60 * time.Second
	pollInterval = 25 * time.Millisecond
)

// Name says which program it is, as in its log file's name.
func (p *Process) Name() string { return p.name }

// LogFile is where everything goes that the process prints.
func (p *Process) LogFile() string { return p.logFile }

// SetEnv gives the process another variable, from its next start on.
func (p *Process) SetEnv(name, value string) { p.env = append(p.env, name+"="+value) }

// AddArguments gives the process more arguments, from its next start on. Of a flag that is given twice, the last counts.
func (p *Process) AddArguments(arguments ...string) {
	p.command = slices.Concat(p.command, arguments)
}

// Launch starts the process without waiting until it is ready.
func (p *Process) Launch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return fmt.Errorf("%s runs already", p.name)
	}
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own descriptor
	cmd := exec.Command(p.command[0], p.command[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.env, log, log
	cmd.SysProcAttr = processAttributes()
	if err := onStarter(cmd.Start); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	exited := make(chan struct{})
	p.cmd, p.exited, p.asked = cmd, exited, false
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
	p.mu.Lock()
	exited := p.exited
	p.mu.Unlock()
	if exited == nil {
		return fmt.Errorf("%s was never started", p.name)
	}
	for {
		err := p.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("%s ended instead of getting ready (%s); its log ends with:\n%s", p.name, p.cmd.ProcessState, p.LogTail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s: %w; its log ends with:\n%s", p.name, startTimeout, err, p.LogTail())
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
	cmd := exec.Command(p.command[0], arguments...)
	cmd.Dir, cmd.Env = p.dir, slices.Concat(p.env, env)
	return cmd.CombinedOutput()
}

// Kill ends the process with SIGKILL, as a crash would, and waits until it is gone.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL, 10*time.Second) }

// Terminate ends the process with SIGTERM, as a deployment would, and waits until it is gone. Needing longer than its
// grace period is an error, and then it is killed.
func (p *Process) Terminate() error { return p.end(syscall.SIGTERM, p.grace) }

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

// Crashed returns an error if the process ended without anybody here having asked for it.
func (p *Process) Crashed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.asked || p.running() {
		return nil
	}
	return fmt.Errorf("%s ended by itself (%s); its log ends with:\n%s", p.name, p.cmd.ProcessState, p.LogTail())
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
		return fmt.Errorf("%s: %s: not running", p.name, signal)
	}
	return syscall.Kill(-p.cmd.Process.Pid, signal) // the whole group
}

func (p *Process) end(signal syscall.Signal, limit time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return nil
	}
	p.asked = true
	group := -p.cmd.Process.Pid
	err := syscall.Kill(group, signal)
	select {
	case <-p.exited:
	case <-time.After(limit):
		err = errors.Join(err, fmt.Errorf("%s is still there %s after %s", p.name, limit, signal))
	}
	// Whatever the group still holds must not survive, even children that the process did not wait for.
	if kerr := syscall.Kill(group, syscall.SIGKILL); kerr != nil && !errors.Is(kerr, syscall.ESRCH) {
		err = errors.Join(err, fmt.Errorf("%s: %w", p.name, kerr))
	}
	<-p.exited
	return err
}

// gone returns an error if anything of the process's group is left.
func (p *Process) gone() error {
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
			return fmt.Errorf("%s: process group %d is still there", p.name, p.cmd.Process.Pid)
		}
	}
}

// tailBytes is how much of a log is shown.
const tailBytes = 4 << 10

// LogTail is the end of the process's log.
func (p *Process) LogTail() string {
	log, err := os.ReadFile(p.logFile)
	if err != nil {
		return err.Error()
	}
	if len(log) > tailBytes {
		log = log[len(log)-tailBytes:]
		if i := bytes.IndexByte(log, '\n'); i >= 0 {
			log = log[i+1:]
		}
	}
	return fmt.Sprintf("--- %s\n%s", filepath.Base(p.logFile), log)
}

// starts carries process starts to one goroutine whose thread lives as long as this program does: on Linux a child
// dies with the thread that started it (see processAttributes).
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
