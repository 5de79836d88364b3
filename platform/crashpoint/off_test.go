//go:build !crashpoints

package crashpoint

import (
	"os"
	"path/filepath"
	"testing"
)

// In a build without the tag, a point does not look for its file: an armed point stays armed.
func TestPointsAreEmpty(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CRASHPOINTS", dir)
	armed := filepath.Join(dir, "here.now")
	if err := os.WriteFile(armed, []byte("kill"), 0o600); err != nil {
		t.Fatal(err)
	}
	Reach("here", "now")
	if Armed("here", "now") {
		t.Error("armed")
	}
	if _, err := os.Stat(armed); err != nil {
		t.Error(err)
	}
	if n := testing.AllocsPerRun(100, func() { Reach("here", "now") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
