package docs_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/bankmore/bankmore/e2e/docs"
)

// needs are what the commands of a block may need. CONTRIBUTING.md explains them.
var needs = []string{"cluster", "docker", "kafka", "network", "root", "servers", "terminal", "time", "values"}

// languages are those of blocks that are no commands.
var languages = []string{"diff", "go", "http", "json", "mermaid", "sql", "text", "yaml"}

// tree is what commands may name.
type tree struct {
	root     string
	makefile string
	tests    map[string]string // the file of each test that runs commands of a document, by its name
}

var (
	testFunction = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	callOfScript = regexp.MustCompile(`docs\.Script\(.*"(Test\w+)"\)`)
)

// growTree reads the tests and the Makefile.
func growTree(root string) (tree, error) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	t := tree{root: root, makefile: string(makefile), tests: map[string]string{}}
	files, globErr := filepath.Glob(filepath.Join(root, "e2e", "*", "*_test.go"))
	if err := errors.Join(err, globErr); err != nil {
		return t, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return t, err
		}
		for _, function := range testFunction.FindAllStringSubmatch(string(text), -1) {
			for _, call := range callOfScript.FindAllStringSubmatch(string(text), -1) {
				if call[1] == function[1] {
					t.tests[function[1]] = file
				}
			}
		}
	}
	return t, nil
}

// checkAll returns what is wrong with the blocks of a text.
func checkAll(t tree, text string) error {
	blocks, err := docs.Read("text", text)
	errs := []error{err}
	for _, block := range blocks {
		errs = append(errs, t.check(block))
	}
	return errors.Join(errs...)
}

// check returns what is wrong with a block.
func (t tree) check(b docs.Block) error {
	if strings.HasPrefix(b.Text, "sequenceDiagram") && strings.Contains(b.Text, ";") {
		return errors.New("a semicolon ends a statement of Mermaid: GitHub shows an error in place of the diagram")
	}
	if b.Language != "bash" {
		if !slices.Contains(languages, b.Language) || len(b.Run)+len(b.Needs) > 0 {
			return fmt.Errorf("%q is no language of a block; commands are bash, and nothing else is run or needs something", b.Language)
		}
		return nil
	}
	var errs []error
	if (len(b.Run) == 0) == (len(b.Needs) == 0) {
		errs = append(errs, errors.New("the commands must have either run=… or needs=…"))
	}
	for _, need := range b.Needs {
		if !slices.Contains(needs, need) {
			errs = append(errs, fmt.Errorf("needs=%s is none of %s", need, needs))
		}
	}
	if out, err := exec.Command("bash", "-n", "-c", b.Text).CombinedOutput(); err != nil {
		errs = append(errs, fmt.Errorf("bash does not understand it: %s", out))
	}
	return errors.Join(append(errs, t.isRun(b), t.names(b.Text))...)
}

// isRun returns an error unless the block is run by the tests that it names, or each of its commands is in a script that it names.
func (t tree) isRun(b docs.Block) error {
	var scripts strings.Builder
	var errs []error
	for _, by := range b.Run {
		if strings.HasPrefix(by, "Test") {
			if t.tests[by] == "" {
				errs = append(errs, fmt.Errorf("no test in e2e is called %s and calls docs.Script with its name", by))
			}
			continue
		}
		text, err := os.ReadFile(filepath.Join(t.root, by))
		errs = append(errs, err)
		scripts.Write(text)
	}
	if scripts.Len() > 0 {
		for _, command := range commands(b.Text) {
			if !hasCommand(scripts.String(), command) {
				errs = append(errs, fmt.Errorf("%q is not in %s", command, strings.Join(b.Run, ", ")))
			}
		}
	}
	return errors.Join(errs...)
}

// hasCommand reports whether a script has a command, and not only a longer one that begins or ends with it.
func hasCommand(script, command string) bool {
	return regexp.MustCompile(`(?m)(^|[\s;&|(!"'])` + regexp.QuoteMeta(command) + `($|[\s;&|)"'])`).MatchString(script)
}

var comment = regexp.MustCompile(`(?m)(^|[ \t]+)#.*$`)

// commands splits a block into its commands.
func commands(text string) (all []string) {
	for line := range strings.Lines(text) {
		for command := range strings.SplitSeq(comment.ReplaceAllString(line, ""), "&&") {
			if command = strings.TrimSpace(command); command != "" {
				all = append(all, command)
			}
		}
	}
	return all
}

var (
	makeCommand  = regexp.MustCompile(`\bmake((?: +[a-z][a-z0-9-]*(?:=(?:"[^"]*"|'[^']*'|[^\s;|&)]*))?)+)`)
	makeWord     = regexp.MustCompile(`([a-z][a-z0-9-]*)(=(?:"[^"]*"|'[^']*'|\S*))?`)
	pathInCode   = regexp.MustCompile(`(?:^|[\s;|&("'])((?:\./)?(?:scripts|k8s|e2e|ops|cli|platform|compose|client|launcher|tools|\.ci|(?:account|transfer|fee)-svc)/[\w./-]*)`)
	codeInText   = regexp.MustCompile("`(make [^`]+)`")
	ellipsisPath = strings.NewReplacer("...", "")
)

// names returns an error for each target or variable of make, and each path, that commands name and that is not there.
func (t tree) names(text string) error {
	var errs []error
	code := ""
	for line := range strings.Lines(text) {
		code += comment.ReplaceAllString(line, "") + "\n"
	}
	for _, command := range makeCommand.FindAllStringSubmatch(code, -1) {
		for _, word := range makeWord.FindAllStringSubmatch(command[1], -1) {
			pattern := `(?m)^` + word[1] + `\b[^=\n]*:`
			if word[2] != "" {
				pattern = `(?m)^` + word[1] + ` \??=`
			}
			if !regexp.MustCompile(pattern).MatchString(t.makefile) {
				errs = append(errs, fmt.Errorf("the Makefile has no %s", word[0]))
			}
		}
	}
	for _, path := range pathInCode.FindAllStringSubmatch(code, -1) {
		if _, err := os.Stat(filepath.Join(t.root, ellipsisPath.Replace(path[1]))); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
