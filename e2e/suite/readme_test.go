package suite_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/bankmore/bankmore/e2e/docs"
	"github.com/bankmore/bankmore/e2e/stack"
)

var shownField = regexp.MustCompile(`#.*?("[a-z_]+":"[^"]+")`) // `# "balance":"848.00"` behind a command

// The README's session runs as written at a terminal, but that it waits for the fee as long as it takes. Its answers hold what its
// comments show. Then the folder has the statements, as files.
func TestReadmeSession(t *testing.T) {
	script, err := docs.Script(root(t), "README.md", "TestReadmeSession")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(script, "http://localhost:8080", system.URL())
	if text == script {
		t.Fatal("the session does not use http://localhost:8080")
	}
	// Readers wait for two seconds until the fee is charged. A busy machine may need longer.
	const wait, charged = "\nsleep 2 ", `
until [[ $(curl -sS "$api/fee/my/" -H "$as_ana") == *'"CHARGED"'* ]]; do sleep 0.2; done `
	if strings.Count(text, wait) != 1 {
		t.Fatalf("the session does not wait once by %q", wait)
	}
	text = strings.Replace(text, wait, charged, 1)
	const typed = "senha-do-caio" // where the command line asks for a password
	system.KeepSecret("52998224725", "529.982.247-25", "11144477735", "111.444.777-35", "senha-da-ana", "senha-da-bia",
		"39053344705", "390.533.447-05", typed)
	folder := t.TempDir()
	if err := os.Symlink(system.Bin, filepath.Join(folder, "bin")); err != nil {
		t.Fatal(err)
	}
	out := atTerminal(t, folder, typed, "bash", "-euo", "pipefail", "-c", text)
	shown := shownField.FindAllStringSubmatch(text, -1)
	for _, want := range append(shown, []string{"", `"balance":"848.00"`}, []string{"", `"balance":"150.00"`}, []string{"", `"amount":"2.00"`}) {
		if !strings.Contains(out, want[1]) {
			t.Errorf("no %s in what the session prints", want[1])
		}
	}
	if len(shown) < 2 {
		t.Errorf("the session shows only %d results in comments", len(shown))
	}
	csv, csvErr := filepath.Glob(filepath.Join(folder, "*.csv"))
	ofx, ofxErr := filepath.Glob(filepath.Join(folder, "*.ofx"))
	if len(csv) != 2 || len(ofx) != 2 || csvErr != nil || ofxErr != nil { // one of Ana by curl, one of Caio by the command line
		t.Errorf("the session leaves %s and %s; %v, %v", csv, ofx, csvErr, ofxErr)
	}
	for _, file := range append(csv, ofx...) {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "150") {
			t.Errorf("%s has %q, %v", file, text, err)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
	system.CheckBooks(t)
}

// atTerminal runs a program, which must succeed, at a terminal, and types the password when it is asked for. It returns what the
// terminal shows.
func atTerminal(t *testing.T, folder, password string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "BANKMORE_URL="+system.URL(), "BANKMORE_LANG=pt", "BANKMORE_KEYRING=off",
		"XDG_STATE_HOME="+filepath.Join(folder, "state"), "TZ=<-03>3") // days as the bank counts them
	terminal, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	var shown strings.Builder
	for buffer, asked := make([]byte, 1<<12), 0; ; {
		n, err := terminal.Read(buffer)
		shown.Write(buffer[:n])
		if questions := strings.Count(shown.String(), "Senha: ") + strings.Count(shown.String(), "Senha, de novo: "); questions > asked {
			asked = questions
			time.Sleep(100 * time.Millisecond) // the program reads the terminal anew after the question
			if _, err := terminal.WriteString(password + "\n"); err != nil {
				t.Error(err)
			}
		}
		if err != nil { // on Linux EIO, once the program has ended
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, shown.String())
	}
	return shown.String()
}

// The script of make demo can run twice.
func TestDemo(t *testing.T) {
	for range 2 {
		bash(t, []string{"BANKMORE_URL=" + system.URL(), "BANKMORE_CLI=" + filepath.Join(system.Bin, "bankmore")}, filepath.Join(root(t), "scripts", "demo.sh"))
	}
	system.CheckBooks(t)
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// bash runs a script, which must succeed, and returns what it prints.
func bash(t *testing.T, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}
