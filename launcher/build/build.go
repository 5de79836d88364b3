package build

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	toolDir   = ".tools"
	tailLines = 30 // of go's output, shown when it fails
)

// builder builds parts in one repository.
type builder struct {
	root     string
	out      io.Writer
	terminal bool // out is a terminal

	mu      sync.Mutex // of records
	records map[string]record
}

// record describes a part's last build. Packages and Seconds are of the last build that compiled anything.
type record struct {
	Flags    string  // of the linker
	Packages int     // that were compiled
	Seconds  float64 // that it took to compile and link
}

// Parts builds those of the named parts that are not up to date, and shows its progress on standard output. The working
// directory must be the repository. If another process builds in the same folder, Parts waits for its end. If a part cannot
// be built, the error holds the end of go's output.
func Parts(ctx context.Context, names ...string) error {
	chosen, err := choose(parts, names)
	if err != nil {
		return err
	}
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	b := &builder{root: root, out: os.Stdout, terminal: isTerminal(os.Stdout)}
	return b.build(ctx, chosen)
}

func (b *builder) build(ctx context.Context, chosen []part) (err error) {
	if err := os.MkdirAll(b.path("bin"), 0o750); err != nil {
		return err
	}
	unlock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	// Go's temporary folder is on the file system of the programs, so that go puts each program in place by renaming it, and no
	// program is ever incomplete. An interrupted go leaves files in this folder, and so do we if we are killed.
	clean := func() error { return os.RemoveAll(b.path("tmp")) }
	if err := errors.Join(clean(), os.Mkdir(b.path("tmp"), 0o700)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean()) }()
	b.readRecords()
	var jobs []*job
	for _, p := range chosen {
		flags, flagsErr := p.linkerFlags(b.root)
		upToDate, err := p.upToDate(b.root)
		if err := errors.Join(flagsErr, err); err != nil {
			return err
		}
		j := &job{part: p, linkerFlags: flags, last: b.records[p.name]}
		if !upToDate || flags != j.last.Flags {
			jobs = append(jobs, j)
		}
	}
	began := time.Now()
	stop := b.show(jobs)
	err = b.work(ctx, jobs)
	stop()
	if err == nil {
		b.sum(jobs, time.Since(began))
	}
	return err
}

// path returns the path of a file in toolDir.
func (b *builder) path(name string) string { return filepath.Join(b.root, toolDir, name) }

// lock waits until no other process builds in this folder.
func (b *builder) lock(ctx context.Context) (unlock func(), err error) {
	file, err := os.OpenFile(b.path("build.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	for said := false; ; {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(err, file.Close())
		}
		if !said && time.Since(began) >= patience {
			fmt.Fprintln(b.out, "another build runs in this folder; waiting for its end")
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// readRecords reads the records of earlier builds. A file that it cannot read counts as empty, which costs a build.
func (b *builder) readRecords() {
	b.records = map[string]record{}
	if raw, err := os.ReadFile(b.path("built.json")); err == nil {
		_ = json.Unmarshal(raw, &b.records)
	}
}

func (b *builder) remember(name string, r record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records[name] = r
	raw, err := json.MarshalIndent(b.records, "", "\t")
	return errors.Join(err, os.WriteFile(b.path("built.json"), raw, 0o600))
}

// work starts the downloads of all jobs at once. It builds one job after the other, as their downloads end. Linking uses only
// one core, so work compiles the next job meanwhile. The first failure ends all jobs.
func (b *builder) work(ctx context.Context, jobs []*job) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var all sync.WaitGroup
	start := func(step func() error) {
		all.Go(func() {
			if err := step(); err != nil {
				fail(err)
			}
		})
	}
	ready := make(chan *job, len(jobs))
	for _, j := range jobs {
		start(func() error {
			err := b.download(ctx, j)
			if err != nil {
				fail(err) // before the loop below starts to build the job
			}
			ready <- j
			return err
		})
	}
	var waiting []*job
	for n := range jobs {
		for len(waiting) == 0 || len(ready) > 0 {
			waiting = append(waiting, <-ready)
		}
		if ctx.Err() != nil {
			break
		}
		next := jobs[slices.IndexFunc(jobs, func(j *job) bool { return slices.Contains(waiting, j) })]
		compiled := make(chan struct{})
		release := sync.OnceFunc(func() { close(compiled) })
		start(func() error {
			defer release()
			return b.compile(ctx, next, n+1, release)
		})
		<-compiled
		waiting = slices.DeleteFunc(waiting, func(j *job) bool { return j == next })
	}
	all.Wait()
	return context.Cause(ctx)
}

// download gets the modules that the part needs. It does nothing for services that were built before: go build downloads what
// they need since.
func (b *builder) download(ctx context.Context, j *job) error {
	if j.folder == "." && j.last.Packages > 0 {
		return nil
	}
	j.begin(0, downloading, nil)
	_, err := b.run(ctx, j, "list", append([]string{"-deps"}, j.packages...)...)
	j.finish()
	return err
}

// compile builds a part, which is shown as the n-th. It calls linked when only linking remains.
func (b *builder) compile(ctx context.Context, j *job, n int, linked func()) error {
	j.begin(n, compiling, linked)
	began := time.Now()
	listing, cancel := context.WithCancel(ctx)
	var lister sync.WaitGroup
	lister.Go(func() {
		select {
		case <-listing.Done():
		case <-time.After(patience):
			// go list does not name packages that go build has compiled by now, but go build has named them.
			if list, err := b.run(listing, j, "list", append([]string{"-deps", "-f", staleTemplate}, j.packages...)...); err == nil {
				j.know(list)
			}
		}
	})
	_, err := b.run(ctx, j, "build", append([]string{"-v", "-o", j.output(b.root)}, j.packages...)...)
	cancel()
	lister.Wait()
	if err != nil {
		return err
	}
	if j.folder != "." {
		// A source file that was changed since the build began must be newer than the program.
		if err := os.Chtimes(j.output(b.root), began, began); err != nil {
			return err
		}
	}
	return b.remember(j.name, j.finish())
}

// run runs go and returns its standard output. When ctx ends, go and all processes that it has started are ended.
func (b *builder) run(ctx context.Context, j *job, verb string, arguments ...string) (string, error) {
	cmd := command(ctx, b.root, j.folder, verb, j.linkerFlags, arguments...)
	cmd.Env = append(cmd.Env, "GOTMPDIR="+b.path("tmp"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	said := &lines{heard: j.hear}
	cmd.Stdout, cmd.Stderr = &out, said
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // processes that have ignored SIGINT
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%s: go %s: %w\n%s", j.name, verb, err, strings.Join(said.tail, "\n"))
	}
	return out.String(), err
}

// lines is a writer that calls heard with each whole line. It keeps the last lines for which heard returns false.
type lines struct {
	heard func(line string) bool // reports whether the line was about progress
	rest  []byte
	tail  []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.rest = rest
		if !l.heard(string(line)) {
			l.tail = append(l.tail, string(line))
			l.tail = l.tail[max(0, len(l.tail)-tailLines):]
		}
	}
}
