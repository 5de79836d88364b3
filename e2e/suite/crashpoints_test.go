package suite_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/bankmore/bankmore/e2e/stack"
)

// The usual build of a service has no crash points: it does not read the variable that names their folder.
func TestNoCrashPoints(t *testing.T) {
	for _, id := range stack.Services {
		program, err := os.ReadFile(filepath.Join(system.Bin, id))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(program, []byte("CRASHPOINTS")) {
			t.Errorf("%s has crash points", id)
		}
	}
}
