package docs_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	exitCode    = regexp.MustCompile(`(?m)^\| (\d+) \| (.*) \|$`)
	cliVariable = regexp.MustCompile(`(?m)^\W*((?:BANKMORE|XDG)_[A-Z_]+)`)
)

// The README has the exit codes and the variables of bankmore as bankmore's own help has them.
func TestReadmeAndHelpOfBankmoreAgree(t *testing.T) {
	root := root(t)
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	help, helpErr := os.ReadFile(filepath.Join(root, "cli", "internal", "command", "testdata", "help.en.txt"))
	if err := errors.Join(err, helpErr); err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## At the command line\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, codes, _ := strings.Cut(string(help), "$ bankmore help exit-codes\n")
	codes, _, _ = strings.Cut(codes, "With --json")
	_, environment, _ := strings.Cut(string(help), "$ bankmore help environment\n")

	var documented []string
	for _, row := range exitCode.FindAllStringSubmatch(strings.ReplaceAll(section, "`", ""), -1) {
		documented = append(documented, row[1]+" "+row[2])
	}
	var told []string
	for line := range strings.Lines(codes) {
		if code, meaning, ok := strings.Cut(strings.TrimSpace(line), " "); ok && code[0] >= '0' && code[0] <= '9' {
			told = append(told, code+" "+strings.TrimSpace(meaning))
		}
	}
	if got, want := strings.Join(documented, "\n"), strings.Join(told, "\n"); got != want || len(told) < 9 {
		t.Errorf("the README says\n%s\nand `bankmore help exit-codes`\n%s", got, want)
	}
	names := func(text string) string {
		var all []string
		for _, name := range cliVariable.FindAllStringSubmatch(text, -1) {
			all = append(all, name[1])
		}
		return strings.Join(all, " ")
	}
	if got, want := names(section), names(environment); got != want || got == "" {
		t.Errorf("the README has the variables %s, and `bankmore help environment` %s", got, want)
	}
}
