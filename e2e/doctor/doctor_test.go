// Package doctor_test holds `make doctor` against machines that lack something, and `make help` against the README.
package doctor_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/bankmore/bankmore/e2e/stack"
)

// A machine is this one, without some programs and with others in their place.
type machine struct {
	without []string
	with    map[string]string // shell scripts by name
	held    bool              // whether somebody listens on the port that the run file names

	homeless bool // whether there is no HOME
}

func TestDoctor(t *testing.T) {
	goOf := func(version string) map[string]string {
		return map[string]string{"go": `case "$*" in
			version) echo "go version go` + version + ` linux/amd64" ;;
			"env GOTOOLCHAIN") echo auto ;;
			"env CC") echo gcc ;;
		esac`}
	}
	for name, c := range map[string]struct {
		machine
		able bool
		want []string // a line each begins so, with blanks squeezed
	}{
		"with a Dapr CLI of 2024":  {machine{with: map[string]string{"dapr": "echo 'CLI version: 1.14.1 '"}}, true, []string{"note own Dapr CLI 1.14.1, older than 1.16", "run possible"}},
		"this one":                 {machine{}, true, []string{"run possible", "test possible", "ok ports 1 of 1 are free"}},
		"without curl":             {machine{without: []string{"curl"}}, false, []string{"NO curl - test ", "test lacks curl", "run possible"}},
		"without Go":               {machine{without: []string{"go"}}, false, []string{"NO go - ", "run lacks go", "test lacks go", "demo lacks go"}},
		"with Go 1.9.7":            {machine{with: goOf("1.9.7")}, false, []string{"NO go 1.9.7, older than 1.26.5", "run lacks go"}},
		"with Go 1.22.1":           {machine{with: goOf("1.22.1")}, true, []string{"note go 1.22.1, which fetches Go 1.26.5 by itself", "run possible"}},
		"with Go 1.26.10":          {machine{with: goOf("1.26.10")}, true, []string{"ok go 1.26.10"}},
		"without make":             {machine{without: []string{"make"}}, false, []string{"NO make - ", "run lacks make", "test lacks make", "demo lacks make"}},
		"without git":              {machine{without: []string{"git"}}, true, []string{"NO git - mutations ", "mutations lacks "}},
		"without pgrep":            {machine{without: []string{"pgrep"}}, false, []string{"NO pgrep - test ", "test lacks pgrep", "run possible"}},
		"without df":               {machine{without: []string{"df"}}, false, []string{"doctor.sh needs df "}},
		"with a full disk":         {machine{with: map[string]string{"df": "echo; echo '/dev/sda 100 100 1000 100% /'"}}, false, []string{"NO disk 0 GiB are free where GOCACHE is", "run lacks disk"}},
		"without a home":           {machine{homeless: true}, true, []string{"run possible"}},
		"with another make":        {machine{with: map[string]string{"make": "exit 2"}}, false, []string{"run lacks make"}},
		"with bash 3.2":            {machine{with: map[string]string{"bash": "echo 3.2"}}, true, []string{"NO bash 3.2, older than 4", "test-backends lacks bash", "run possible"}},
		"without a C compiler":     {machine{without: []string{"gcc"}}, true, []string{"note C compiler - (without it, no race detector)", "test possible"}},
		"without the C library":    {machine{with: map[string]string{"gcc": "exit 1"}}, false, []string{"NO C compiler gcc does not compile", "test lacks C compiler", "run possible"}},
		"with a port that is held": {machine{held: true}, false, []string{"NO port ", "run lacks port ", "test possible"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, able := examine(t, c.machine)
			var lines []string
			for line := range strings.Lines(out) {
				lines = append(lines, strings.Join(strings.Fields(line), " ")+" ")
			}
			for _, want := range c.want {
				if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, want) }) {
					t.Errorf("no line begins %q", want)
				}
			}
			if able != c.able {
				t.Errorf("run and test are possible: %t, want %t", able, c.able)
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

// The README shows the groups of targets that `make help` prints.
func TestReadmeHasTheGroupsOfHelp(t *testing.T) {
	root, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.CommandContext(t.Context(), "make", "--no-print-directory", "-C", root, "help").Output()
	if err != nil {
		t.Fatal(err)
	}
	groups := strings.Split(strings.TrimSpace(string(help)), "\n\n")
	if len(groups) != 3 {
		t.Errorf("%d groups, want those of users, operators and developers", len(groups))
	}
	for _, group := range groups {
		heading, lines, _ := strings.Cut(group, "\n")
		var targets []string
		for line := range strings.Lines(lines) {
			targets = append(targets, "`"+strings.Fields(line)[1]+"`")
		}
		if row := "| " + heading + " | " + strings.Join(targets, ", ") + " |\n"; !strings.Contains(string(readme), row) {
			t.Errorf("README.md has no row\n%s", row)
		}
	}
}

// examine runs the doctor on a machine, and returns what it says and whether it has exited with 0.
func examine(t *testing.T, m machine) (out string, able bool) {
	t.Helper()
	root, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script, err := os.ReadFile(filepath.Join(root, "scripts", "doctor.sh"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "scripts", "doctor.sh"), string(script))
	write(t, filepath.Join(dir, "go.work"), "go 1.26.5\n")
	write(t, filepath.Join(dir, "dapr.yaml"), fmt.Sprintf("apps:\n  - appID: a\n    appPort: %d\n", bind(t, m.held)))

	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, body := range m.with {
		write(t, filepath.Join(bin, name), "#!/bin/sh\n"+body+"\n")
	}
	for _, folder := range filepath.SplitList(os.Getenv("PATH")) {
		programs, _ := os.ReadDir(folder) // a folder that is not there has none
		for _, p := range programs {
			if slices.Contains(m.without, p.Name()) {
				continue
			}
			if err := os.Symlink(filepath.Join(folder, p.Name()), filepath.Join(bin, p.Name())); err != nil && !errors.Is(err, os.ErrExist) {
				t.Fatal(err)
			}
		}
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	doctor := exec.CommandContext(t.Context(), bash, filepath.Join(dir, "scripts", "doctor.sh"))
	doctor.Env = append(os.Environ(), "PATH="+bin, "CC=gcc", "KAFKA_BOOTSTRAP_SERVERS=elsewhere:9092")
	if m.homeless {
		doctor.Env = slices.DeleteFunc(doctor.Env, func(v string) bool { return strings.HasPrefix(v, "HOME=") })
	}
	raw, err := doctor.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("%v\n%s", err, raw)
	}
	return string(raw), err == nil
}

// bind returns a port of 127.0.0.1 that nobody else gets until the test ends, and listens on it if it is to be held.
func bind(t *testing.T, held bool) (port int) {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(socket)
	t.Cleanup(func() { _ = syscall.Close(socket) })
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if held {
		if err := syscall.Listen(socket, 1); err != nil {
			t.Fatal(err)
		}
	}
	address, err := syscall.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	return address.(*syscall.SockaddrInet4).Port
}

// write makes a program, and the folder that it is in.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
}
