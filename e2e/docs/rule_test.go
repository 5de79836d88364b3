package docs_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bankmore/bankmore/e2e/docs"
)

// The example of CONTRIBUTING.md changes a rule of the business: the patch of the test fails alone, and passes with the patch of
// the rule.
func TestRuleIsChangedAsWritten(t *testing.T) {
	root, tree := root(t), t.TempDir()
	blocks, err := docs.Blocks(root, "CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	var patches []string
	for _, block := range blocks {
		if block.Language == "diff" {
			patches = append(patches, block.Text)
		}
	}
	if len(patches) != 2 {
		t.Fatalf("%d patches, want that of the test and that of the rule", len(patches))
	}
	overlay := map[string]map[string]string{"Replace": {}} // the code, with patched files in place of its own
	const folder = "fee-svc/internal/fee"
	for _, file := range []string{"fee.go", "fee_test.go"} {
		text, err := os.ReadFile(filepath.Join(root, folder, file))
		patched := filepath.Join(tree, folder, file)
		overlay["Replace"][filepath.Join(root, folder, file)] = patched
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(patched), 0o700), os.WriteFile(patched, text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(overlay)
	list := filepath.Join(tree, "overlay.json")
	if err := errors.Join(err, os.WriteFile(list, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	apply := func(patch string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", "apply", "--verbose")
		cmd.Dir, cmd.Stdin = tree, strings.NewReader(patch)
		cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(tree)) // tree is no part of a repository
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s\n%s", err, out, patch)
		}
	}
	test := func() (string, error) {
		cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", list, "-run", "TestNewFee|TestFeeOfALargeTransfer", "./"+folder)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	apply(patches[0])
	if out, err := test(); err == nil || !strings.Contains(out, "--- FAIL: TestFeeOfALargeTransfer") || strings.Count(out, "--- FAIL") != 1 {
		t.Errorf("without the rule: %v\n%s", err, out)
	}
	apply(patches[1])
	if out, err := test(); err != nil {
		t.Errorf("with the rule: %v\n%s", err, out)
	}
}
