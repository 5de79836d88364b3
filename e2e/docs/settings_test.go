package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// A service's setting, a component's, the ingress's.
	setting  = regexp.MustCompile(`(?:\benv:"|\benvRef: |\bkey: |\{\$|\{env\.)([A-Z][A-Z_]+)`)
	word     = regexp.MustCompile(`\b[A-Z][A-Z_]+\b`)
	variable = regexp.MustCompile("`([A-Z][A-Z_]+)`")
)

// The README's table of settings names each variable that a service, a component or the ingress reads, and none that nobody reads.
func TestSettingsAreDocumented(t *testing.T) {
	root := root(t)
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), "\n## Configuration\n")
	table, _, _ = strings.Cut(table, "\n## ")
	documented := map[string]bool{}
	for line := range strings.Lines(table) {
		if first, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | "); ok {
			for _, name := range variable.FindAllStringSubmatch(first, -1) {
				documented[name[1]] = true
			}
		}
	}
	settings, words := map[string]bool{}, map[string]bool{}
	for _, folder := range []string{"account-svc", "transfer-svc", "fee-svc", "platform", "ops", "ingress", "components"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, name := range setting.FindAllSubmatch(text, -1) {
				settings[string(name[1])] = true
			}
			for _, name := range word.FindAll(text, -1) {
				words[string(name)] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(settings) < 40 || len(documented) < 40 {
		t.Errorf("%d settings, %d in the README: this finds too little", len(settings), len(documented))
	}
	for name := range settings {
		if !documented[name] {
			t.Errorf("the README does not say what %s is", name)
		}
	}
	for name := range documented {
		if !words[name] {
			t.Errorf("nobody reads %s", name)
		}
	}
}
