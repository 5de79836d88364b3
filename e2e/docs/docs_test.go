package docs_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/e2e/docs"
	"github.com/bankmore/bankmore/e2e/stack"
)

func root(t *testing.T) string {
	t.Helper()
	dir, err := stack.Root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Each block of commands in each document is run by a test or by CI, or says what it needs; and what it names is there.
func TestEachCommandIsRunOrSaysWhatItNeeds(t *testing.T) {
	root := root(t)
	tree, err := growTree(root)
	if err != nil {
		t.Fatal(err)
	}
	files, err := docs.Files(root)
	if err != nil {
		t.Fatal(err)
	}
	run, needing := 0, 0
	for _, file := range files {
		blocks, err := docs.Blocks(root, file)
		if err != nil {
			t.Error(err)
		}
		for _, block := range blocks {
			if err := tree.check(block); err != nil {
				t.Errorf("%s:%d: %v", file, block.Line, err)
			}
			if len(block.Run) > 0 {
				run++
			}
			if len(block.Needs) > 0 {
				needing++
			}
		}
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range codeInText.FindAllStringSubmatch(string(text), -1) {
			if err := tree.names(code[1]); err != nil {
				t.Errorf("%s: `%s`: %v", file, code[1], err)
			}
		}
	}
	t.Logf("%d documents; %d blocks of commands are run, %d need what tests have not", len(files), run, needing)
	if len(files) < 50 || run < 5 || needing < 5 {
		t.Error("this finds too little")
	}
}

// What the check is for: each of these blocks is refused.
func TestCheckRefuses(t *testing.T) {
	tree, err := growTree(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for says, text := range map[string]string{
		"does not say its language":             "```\nmake run\n```",
		"is neither run=… nor needs=…":          "```bash skip\nmake run\n```",
		"does not end":                          "```bash needs=root\nmake run\n",
		"is no language of a block":             "```sh\nmake run\n```",
		"a semicolon ends a statement":          "```mermaid\nsequenceDiagram\n    A->>B: this; that\n```",
		"must have either run=… or needs=…":     "```bash\nmake run\n```",
		"either run=… or needs":                 "```bash run=TestCommands needs=root\nmake run\n```",
		"needs=luck is none of":                 "```bash needs=luck\nmake run\n```",
		"bash does not understand it":           "```bash needs=root\nif true\n```",
		"no test in e2e is called TestNowhere":  "```bash run=TestNowhere\nmake run\n```",
		"no test in e2e is called TestDemo and": "```bash run=TestDemo\nmake run\n```", // it runs no block
		"no such file":                          "```bash run=.ci/nothing\nmake run\n```",
		`"make run fast" is not in .ci/smoke`:   "```bash run=.ci/smoke\nmake demo # and\nmake run fast\n```",
		"the Makefile has no walk":              "```bash needs=root\nA=1 make walk\n```",
		"the Makefile has no speed=2":           "```bash needs=root\nmake run speed=2\n```",
		"scripts/nothing.sh: no such":           "```bash needs=root\nbash scripts/nothing.sh\n```",
		"e2e/nothing: no such":                  "```bash needs=root\ngo test ./e2e/nothing/... -run TestX\n```",
	} {
		err := checkAll(tree, text)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
	good := "Text.\n\n```bash run=.ci/run,.ci/smoke\nmake demo && make test   # both\n```\n\n```text\n$ anything\n```\n\n" +
		"```bash needs=time\nmake chaos rows=3,4 repetitions=100; go test ./e2e/suite -run 'TestMainJob|TestErrors'\n```\n"
	if err := checkAll(tree, good); err != nil {
		t.Error(err)
	}
}

// TestCommands runs the commands that need nothing but the tools.
func TestCommands(t *testing.T) {
	root := root(t)
	script, err := docs.Script(root, "CONTRIBUTING.md", "TestCommands")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euxo", "pipefail", "-c", script)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// A script has a command only if it has the whole of it.
func TestHasCommand(t *testing.T) {
	for script, want := range map[string]bool{
		"make test":                    true,
		"  make test || exit 1":        true,
		"(make test)":                  true,
		"make test-browser":            false,
		"remake test":                  false,
		"make test-browser\nmake test": true,
	} {
		if got := hasCommand(script, "make test"); got != want {
			t.Errorf("%q: %t", script, got)
		}
	}
}
