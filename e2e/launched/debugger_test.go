package launched_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/stack"
)

// configuration is how an editor starts a program in its debugger, by .vscode/launch.json.
type configuration struct {
	Name    string
	Type    string
	Request string
	Mode    string
	Program string
	Args    []string
	Cwd     string
	EnvFile string
}

// Each service has a configuration for the debugger, which starts the service as it says beside `make run without=` that service.
// (The test starts the program without the debugger.)
func TestServiceBesideItsSidecar(t *testing.T) {
	root, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, ".vscode", "launch.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Configurations []configuration }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Configurations) != len(stack.Services) {
		t.Errorf("%d configurations for %d services", len(file.Configurations), len(stack.Services))
	}
	for _, id := range stack.Services {
		i := slices.IndexFunc(file.Configurations, func(c configuration) bool { return c.Program == "${workspaceFolder}/"+id })
		if i < 0 {
			t.Errorf("no configuration debugs %s", id)
			continue
		}
		t.Run(id, func(t *testing.T) { file.Configurations[i].check(t, root, id) })
	}
}

func (c configuration) check(t *testing.T, root, id string) {
	if c.Type != "go" || c.Request != "launch" || c.Mode != "debug" || !strings.Contains(c.Name, "make run without="+id) {
		t.Errorf("the configuration is %+v", c)
	}
	if _, err := os.Stat(filepath.Join(root, id, "main.go")); err != nil {
		t.Error(err)
	}
	l := prepare(t, nil)
	l.AddArguments("-without", id)
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	inFolder := func(path string) string { return strings.ReplaceAll(path, "${workspaceFolder}", l.Dir) }
	env, err := os.ReadFile(inFolder(c.EnvFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Answers(t.Context()); err == nil {
		t.Fatalf("everything answers without %s", id)
	}
	service := exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(bin, id), c.Args...)
	service.Dir, service.Env = inFolder(c.Cwd), strings.Split(strings.TrimSpace(string(env)), "\n")
	var log strings.Builder
	service.Stdout, service.Stderr = &log, &log
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = service.Process.Signal(syscall.SIGTERM)
		if err := service.Wait(); err != nil || t.Failed() {
			t.Errorf("%s: %v\n%s", id, err, &log)
		}
	})
	within(t, 30*time.Second, "started beside its sidecar", func() error { return l.Answers(t.Context()) })
	demo(t, l)
}

// Only a service can be left out.
func TestOnlyAServiceIsLeftOut(t *testing.T) {
	for _, id := range []string{"ingress", "payment-svc"} {
		l := prepare(t, nil)
		l.AddArguments("-without", id)
		if err := l.Launch(); err != nil {
			t.Fatal(err)
		}
		<-l.Exited()
		if want := `no service "` + id + `" to leave out`; l.Status() != "exit status 1" || !strings.Contains(l.Output(), want) {
			t.Errorf("%s: %s, want %q in\n%s", id, l.Status(), want, l.Output())
		}
	}
}
