//go:build !chaos

package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/bankmore/bankmore/e2e/stack"
)

// adapt leaves the system as it is in production.
func adapt(*stack.Options) {}

// A usual build cannot be told to crash: it does not know the variable that would tell it where to look.
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
