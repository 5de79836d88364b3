package command_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

const statementText = "\ufeffdate,amount\n2026-11-22,1.00\n"

// sends answers with a file that claims to have so many bytes.
func sends(text string, length int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Content-Length", strconv.Itoa(length))
		_, _ = io.WriteString(w, text)
	}
}

// wantFiles checks what a folder has: names and contents.
func wantFiles(t *testing.T, folder string, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != len(want) {
		t.Errorf("in the folder: %v, %v", entries, err)
	}
	for name, text := range want {
		if got, err := os.ReadFile(filepath.Join(folder, name)); err != nil || string(got) != text {
			t.Errorf("%s has %q, want %q; %v", name, got, text, err)
		}
	}
}

// A statement is written to a file that only its owner can read, in place of what had the name, or to the standard output.
func TestStatementFile(t *testing.T) {
	b := newBank(t)
	var asked string
	b.file = func(w http.ResponseWriter, req *http.Request) {
		asked = req.URL.RawQuery
		sends(statementText, len(statementText))(w, req)
	}
	m := atTerminal(t, b.URL).loggedIn()
	folder := t.TempDir()
	path := filepath.Join(folder, "november.csv")
	command := []string{"statement", "--from", "2026-11-01", "--to", "2026-11-30", "--csv", "-o", path}
	for range 2 {
		contains(t, m.wants(0, command...), "The statement is in "+path+" (31 bytes).")
		wantFiles(t, folder, map[string]string{"november.csv": statementText})
	}
	if want := "format=csv&from=2026-11-01&to=2026-11-30&decimal=point"; asked != want {
		t.Errorf("asked for %s, want %s", asked, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	contains(t, m.wants(0, append(command, "--json")...), `{"file":"`+path+`","bytes":31}`)

	for _, output := range [][]string{{}, {"-o", "-"}, {"--output", "-"}} {
		if code, out, problems := m.run(append([]string{"statement", "--from", "2026-11-01", "--ofx"}, output...)...); code != 0 || out != statementText || problems != "" {
			t.Errorf("%v: %d %q %s", output, code, out, problems)
		}
	}
	if want := "format=ofx&from=2026-11-01"; asked != want {
		t.Errorf("asked for %s, want %s", asked, want)
	}
	m.env["LANG"] = "pt_BR.UTF-8"
	contains(t, m.wants(0, command...), "Extrato gravado em")
	if want := "format=csv&from=2026-11-01&to=2026-11-30&decimal=comma"; asked != want {
		t.Errorf("asked for %s, want %s", asked, want)
	}
}

// A link stays a link, and a pipe is written to.
func TestStatementFileIsNotAlwaysAFile(t *testing.T) {
	b := newBank(t)
	b.file = sends(statementText, len(statementText))
	m := atTerminal(t, b.URL).loggedIn()
	folder := t.TempDir()
	target, link, pipe := filepath.Join(folder, "target"), filepath.Join(folder, "link"), filepath.Join(t.TempDir(), "pipe")
	if err := errors.Join(os.WriteFile(target, []byte("old"), 0o600), os.Symlink(target, link), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	m.wants(0, "statement", "--from", "2026-11-01", "--csv", "-o", link)
	wantFiles(t, folder, map[string]string{"target": statementText, "link": statementText})
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("%v, %v", info, err)
	}

	nowhere := filepath.Join(folder, "nowhere")
	if err := os.Symlink(filepath.Join(folder, "missing"), nowhere); err != nil {
		t.Fatal(err)
	}
	m.wants(1, "statement", "--from", "2026-11-01", "--csv", "-o", nowhere)
	if info, err := os.Lstat(nowhere); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("a link that leads nowhere: %v, %v", info, err)
	}

	came := make(chan string, 1)
	go func() {
		text, err := os.ReadFile(pipe)
		came <- string(text)
		if err != nil {
			t.Error(err)
		}
	}()
	m.wants(0, "statement", "--from", "2026-11-01", "--csv", "-o", pipe)
	if text := <-came; text != statementText {
		t.Errorf("through the pipe: %q", text)
	}
}

// Without the whole statement, the file stays as it was, nothing is left beside it, and the exit code says why.
func TestStatementFileDoesNotCome(t *testing.T) {
	b := newBank(t)
	m := atTerminal(t, b.URL).loggedIn()
	folder := t.TempDir()
	path := filepath.Join(folder, "november.csv")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		file http.HandlerFunc
		code int
		says string
	}{
		"a sidecar ends it early": {sends(statementText, 1000), 5, "did not come whole: the file broke off: 31 of 1000 bytes"},
		"the connection ends": {func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Length", "1000")
			sends(statementText, 1000)(w, req)
		}, 5, "did not come whole"},
		"another answer": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, 5, "is not BankMore"},
		"too many at once": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3")
			refuse(w, 429, "RATE_LIMITED", "")
		}, 5, "try again in 3 s"},
		"a period that is refused": {func(w http.ResponseWriter, _ *http.Request) { refuse(w, 400, "INVALID_ARGUMENT", "") }, 3, "not valid"},
		"the session has ended":    {func(w http.ResponseWriter, _ *http.Request) { refuse(w, 403, "INVALID_TOKEN", "") }, 4, "bankmore login"},
	} {
		b.file = test.file
		contains(t, m.wants(test.code, "statement", "--from", "2026-11-01", "--csv", "-o", path), test.says)
		if t.Failed() {
			t.Log(what)
		}
		wantFiles(t, folder, map[string]string{"november.csv": "old"})
	}

	ctx, interrupt := context.WithCancel(t.Context())
	b.file = func(w http.ResponseWriter, req *http.Request) {
		sends(statementText, 1000)(w, req)
		w.(http.Flusher).Flush()
		interrupt()
		<-req.Context().Done()
	}
	m.ctx = ctx
	contains(t, m.wants(130, "statement", "--from", "2026-11-01", "--csv", "-o", path), "Interrupted")
	wantFiles(t, folder, map[string]string{"november.csv": "old"})
}

// A file that cannot be written is a problem of this machine.
func TestStatementFileCannotBeWritten(t *testing.T) {
	b := newBank(t)
	b.file = sends(statementText, len(statementText))
	m := atTerminal(t, b.URL).loggedIn()
	for path, says := range map[string]string{filepath.Join(t.TempDir(), "none", "f.csv"): "no such file", t.TempDir(): "is a directory"} {
		contains(t, m.wants(1, "statement", "--from", "2026-11-01", "--csv", "-o", path), says)
	}
	m.out = full{}
	contains(t, m.wants(1, "statement", "--from", "2026-11-01", "--csv"), "The file could not be written: no space left on device")
}

// full is a disk without space.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }
