package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The parts of the small repository that newBuilder writes.
var (
	tool     = part{name: "tool", folder: "tools/tool", packages: []string{"."}, ldflags: "-X main.version={example.com/library}"}
	services = part{name: "services", folder: ".", packages: []string{"./one", "./two"}}
)

// output is what a builder has printed.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// newBuilder returns a builder in a new repository: a workspace with two services, and a tool. None of their packages is in
// Go's build cache.
func newBuilder(t *testing.T) (*builder, *output) {
	t.Helper()
	t.Setenv("GOFLAGS", "")
	out := &output{}
	b := &builder{root: t.TempDir(), out: out}
	unique := strconv.FormatInt(time.Now().UnixNano(), 10)
	main := "package main\n\nimport \"%s/greeting\"\n\nvar version string\n\nfunc main() { println(greeting.Text, version) }\n"
	greeting := "package greeting\n\nconst Text, unique = \"hello\", " + unique + "\n"
	b.write(t, "go.work", "go 1.26\n\nuse (\n\t./one\n\t./two\n)\n")
	for _, module := range []string{"one", "two", "tools/tool"} {
		b.write(t, module+"/go.mod", "module example.com/"+module+"\n\ngo 1.26\n")
		b.write(t, module+"/main.go", fmt.Sprintf(main, "example.com/"+module))
		b.write(t, module+"/greeting/greeting.go", greeting)
	}
	b.write(t, "tools/tool/go.mod", "module example.com/tools/tool\n\ngo 1.26\n\nrequire example.com/library v1.2.3\n\nreplace example.com/library => ./library\n")
	b.write(t, "tools/tool/library/go.mod", "module example.com/library\n\ngo 1.26\n")
	return b, out
}

func (b *builder) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(b.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// built builds parts and reports whether the tool was built.
func (b *builder) built(t *testing.T, parts ...part) bool {
	t.Helper()
	before, _ := os.Stat(tool.output(b.root))
	if err := b.build(t.Context(), parts); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(tool.output(b.root))
	if err != nil {
		t.Fatal(err)
	}
	return before == nil || !before.ModTime().Equal(after.ModTime())
}

// within waits until done returns true.
func within(t *testing.T, what string, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

func says(program string) string {
	out, err := exec.Command(program).CombinedOutput()
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(out))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// A tool is built only if it is not up to date.
func TestToolIsBuiltWhenItHasToBe(t *testing.T) {
	b, out := newBuilder(t)
	changed := tool
	changed.ldflags += " -X main.unused=1"
	touch := func(name string) func() {
		return func() {
			now := time.Now()
			if err := os.Chtimes(filepath.Join(b.root, "tools/tool", name), now, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.write(t, "tools/tool/main_test.go", "package main\n")
	for _, c := range []struct {
		what string
		do   func()
		part part
		want bool
	}{
		{"nothing is there", func() {}, tool, true},
		{"nothing has changed", func() {}, tool, false},
		{"a test has changed", touch("main_test.go"), tool, false},
		{"the module has changed", touch("go.mod"), tool, true},
		{"a package has changed", touch("greeting/greeting.go"), tool, true},
		{"the linker's flags have changed", func() {}, changed, true},
		{"nothing has changed since", func() {}, changed, false},
		{"it is gone", func() { os.Remove(tool.output(b.root)) }, changed, true},
	} {
		c.do()
		if got := b.built(t, c.part); got != c.want {
			t.Errorf("%s: built %t, want %t", c.what, got, c.want)
		}
	}
	if got := says(tool.output(b.root)); got != "hello 1.2.3" {
		t.Errorf("the tool says %q", got)
	}
	if text := out.String(); !strings.Contains(text, "tool: 2 packages compiled in ") || !strings.Contains(text, "\nbuilt in ") {
		t.Errorf("it does not say what took how long:\n%s", text)
	}
}

// A change of a service's source leads to a new program. A build without a change prints nothing.
func TestServicesFollowTheirSource(t *testing.T) {
	b, out := newBuilder(t)
	for _, want := range []string{"hello", "hello", "good morning"} {
		before, began := out.String(), time.Now()
		b.write(t, "two/greeting/greeting.go", fmt.Sprintf("package greeting\n\nconst Text = %q\n", want))
		if err := b.build(t.Context(), []part{services}); err != nil {
			t.Fatal(err)
		}
		if got := says(services.output(b.root) + "two"); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
		// Only a slow machine compares for so long that the builder says how far it is.
		said, quick := strings.TrimPrefix(out.String(), before), time.Since(began) < patience
		if before != "" && want == "hello" && (quick && said != "" || strings.Contains(said, "built in")) {
			t.Errorf("nothing has changed, and it says %q", said)
		}
	}
}

// If a part does not compile, the error holds the compiler's messages, without the names of compiled packages. The old program
// stays, and does not count as up to date.
func TestCompilerIsHeard(t *testing.T) {
	b, _ := newBuilder(t)
	b.built(t, tool)
	b.write(t, "tools/tool/main.go", "package main\n\nfunc main() { nothing() }\n")
	for range 2 {
		err := b.build(t.Context(), []part{tool})
		want := "tool: go build: exit status 1\n# example.com/tools/tool\n./main.go:3:15: undefined: nothing"
		if err == nil || err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
	}
	if got := says(tool.output(b.root)); got != "hello 1.2.3" {
		t.Errorf("the tool says %q", got)
	}
}

// toolexec makes go run its tools through a script. The script's arguments are the tool and the tool's arguments.
func toolexec(t *testing.T, script string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "toolexec")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\nexec \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOFLAGS", "-toolexec="+path)
}

// An interrupted build leaves no process behind, even if the process ignores signals, and no program that counts as built.
func TestInterrupted(t *testing.T) {
	b, out := newBuilder(t)
	b.terminal = true
	pid := filepath.Join(b.root, "pid")
	toolexec(t, `case "$*" in */link*version=1.2.3*) trap '' INT; echo $$ >`+pid+`; sleep 60 ;; esac`)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	ended := make(chan error)
	go func() { ended <- b.build(ctx, []part{tool}) }()
	within(t, "it links", func() bool { return strings.Contains(out.String(), clearLine+noWrap+"1 of 1 tool: linking, ") })
	var linker int
	within(t, "the linker is there", func() bool { // the builder says "linking" before the linker runs
		raw, _ := os.ReadFile(pid)
		number, ended := strings.CutSuffix(string(raw), "\n")
		linker, _ = strconv.Atoi(number)
		return ended
	})
	if work, err := os.ReadDir(b.path("tmp")); err != nil || len(work) == 0 {
		t.Errorf("go works elsewhere, and has to copy the program: %v", err)
	}
	interrupt()
	began := time.Now()
	if err := <-ended; !errors.Is(err, context.Canceled) || time.Since(began) > 5*time.Second {
		t.Errorf("interrupted: %v, after %s", err, time.Since(began))
	}
	if exists(b.path("tmp")) {
		t.Error("go's work stays behind")
	}
	within(t, "the linker ends", func() bool { return errors.Is(syscall.Kill(linker, 0), syscall.ESRCH) })
	if exists(tool.output(b.root)) {
		t.Error("a program is there")
	}
	if strings.Contains(out.String(), "\n") {
		t.Errorf("a terminal gets more than one line:\n%s", out)
	}
	t.Setenv("GOFLAGS", "")
	if !b.built(t, tool) || says(tool.output(b.root)) != "hello 1.2.3" {
		t.Error("it is not built afterwards")
	}
}

// A source file that is changed during a build leads to another build the next time.
func TestChangedMeanwhile(t *testing.T) {
	b, _ := newBuilder(t)
	toolexec(t, `case "$*" in */link*version=1.2.3*) touch `+filepath.Join(b.root, tool.folder, "main.go")+` ;; esac`)
	for range 2 {
		if !b.built(t, tool) {
			t.Error("the tool is not built, although its source is newer")
		}
	}
}

// While one part is linked, the next is compiled. To show it, each linker waits here until all three programs are compiled.
func TestLinkingGoesBesideCompiling(t *testing.T) {
	b, out := newBuilder(t)
	programs := t.TempDir()
	toolexec(t, `case "$*" in
*/compile*"-p main "*) touch `+programs+`/$$ ;;
*/link*-buildid*) while [ $(ls `+programs+` | wc -l) -lt 3 ]; do sleep 0.05; done ;;
esac`)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := b.build(ctx, []part{tool, services}); err != nil {
		t.Fatal(err, out)
	}
	if !strings.Contains(out.String(), "linked in ") {
		t.Errorf("it says:\n%s", out)
	}
}

// registry makes the tool need a module, and go ask only a module proxy with this handler for it.
func registry(t *testing.T, b *builder, handler http.HandlerFunc) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Setenv("GOPROXY", server.URL)
	t.Setenv("GONOSUMDB", "*")
	t.Setenv("GOMODCACHE", filepath.Join(b.root, "modules"))
	b.write(t, "tools/tool/go.mod", "module example.com/tools/tool\n\ngo 1.26\n\nrequire example.com/library v1.2.3\n")
	b.write(t, "tools/tool/go.sum", "example.com/library v1.2.3 h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nexample.com/library v1.2.3/go.mod h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")
	b.write(t, "tools/tool/main.go", "package main\n\nimport _ \"example.com/library\"\n\nfunc main() {}\n")
}

// A registry that never answers does not delay parts that do not need it, and the status says that go waits for it.
func TestRegistryHangs(t *testing.T) {
	b, out := newBuilder(t)
	registry(t, b, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	ended := make(chan error)
	go func() { ended <- b.build(ctx, []part{tool, services}) }()
	within(t, "the services are built", func() bool { return exists(services.output(b.root) + "two") })
	within(t, "it says what it waits for", func() bool { return strings.Contains(out.String(), "tool: looking for its modules, ") })
	interrupt()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// If the registry does not have a module, the error holds go's message.
func TestRegistryFails(t *testing.T) {
	b, _ := newBuilder(t)
	registry(t, b, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "closed today", http.StatusForbidden) })
	err := b.build(t.Context(), []part{tool, services})
	if err == nil || !strings.Contains(err.Error(), "closed today") || !strings.HasPrefix(err.Error(), "tool: go list: ") {
		t.Errorf("error %v", err)
	}
}

// If another process builds in the same folder, a builder says so and waits.
func TestTwoBuilders(t *testing.T) {
	b, out := newBuilder(t)
	if err := os.MkdirAll(b.path("bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	unlock, err := (&builder{root: b.root, out: io.Discard}).lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- b.build(t.Context(), []part{tool}) }()
	within(t, "it says that it waits", func() bool { return strings.Contains(out.String(), "another build runs in this folder") })
	if exists(b.path("tmp")) {
		t.Error("it does not wait")
	}
	unlock()
	if err := <-ended; err != nil || !exists(tool.output(b.root)) {
		t.Errorf("afterwards: %v", err)
	}
}
