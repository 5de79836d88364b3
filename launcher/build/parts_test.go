package build

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each part's folder exists, and go.mod has the versions that the part takes from it.
func TestParts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		for _, name := range append([]string{"."}, p.packages...) {
			if _, err := os.Stat(filepath.Join(root, p.folder, name)); strings.HasPrefix(name, ".") && err != nil {
				t.Errorf("%s: %v", p.name, err)
			}
		}
		flags, err := p.linkerFlags(root)
		if err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		for _, flag := range regexp.MustCompile(`-X \S+`).FindAllString(flags, -1) {
			if !regexp.MustCompile(`^-X [\w./]+=\d+\.\d+\.\d+$`).MatchString(flag) {
				t.Errorf("%s: %q is no version", p.name, flag)
			}
		}
	}
	if _, err := (part{folder: "tools/daprd", ldflags: "-X a={example.com/nothing}"}).linkerFlags(root); err == nil {
		t.Error("a module that is not required has a version")
	}
}

func TestChoose(t *testing.T) {
	chosen, err := choose(parts, []string{"broker", "daprd"})
	if err != nil || len(chosen) != 2 || chosen[0].name != "daprd" || chosen[1].name != "broker" {
		t.Errorf("%v, %v", chosen, err)
	}
	for _, names := range [][]string{nil, {"broker", "nothing"}} {
		if _, err := choose(parts, names); err == nil || !strings.Contains(err.Error(), "golangci-lint") {
			t.Errorf("%q: %v", names, err)
		}
	}
}
