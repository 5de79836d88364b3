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

	"github.com/bankmore/bankmore/e2e/stack"
)

var (
	sessionMarks = regexp.MustCompile(`(?s)<!-- session -->(.*?)<!-- /session -->`)
	bashBlocks   = regexp.MustCompile("(?s)```bash\n(.*?)```")
	shownField   = regexp.MustCompile(`#.*?("[a-z_]+":"[^"]+")`) // `# "balance":"848.00"` behind a command
)

// The README's session runs as written, and its answers hold what its comments show.
func TestReadmeSession(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	marked := sessionMarks.FindSubmatch(readme)
	if marked == nil {
		t.Fatal("README.md has no session between <!-- session --> and <!-- /session -->")
	}
	var script strings.Builder
	for _, block := range bashBlocks.FindAllSubmatch(marked[1], -1) {
		script.Write(block[1])
	}
	text := strings.ReplaceAll(script.String(), "http://localhost:8080", system.URL())
	if text == script.String() {
		t.Fatal("the session does not use http://localhost:8080")
	}
	system.KeepSecret("52998224725", "529.982.247-25", "11144477735", "111.444.777-35", "senha-da-ana", "senha-da-bia")
	out := bash(t, nil, "-euo", "pipefail", "-c", text)
	shown := shownField.FindAllStringSubmatch(text, -1)
	for _, want := range append(shown, []string{"", `"balance":"848.00"`}, []string{"", `"balance":"150.00"`}, []string{"", `"amount":"2.00"`}) {
		if !strings.Contains(out, want[1]) {
			t.Errorf("no %s in what the session prints", want[1])
		}
	}
	if len(shown) < 2 {
		t.Errorf("the session shows only %d results in comments", len(shown))
	}
	if t.Failed() {
		t.Log(out)
	}
	system.CheckBooks(t)
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
