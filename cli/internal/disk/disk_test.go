package disk

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Where there is no folder, the error names the file that was asked for.
func TestReplaceInAMissingFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "statement.csv")
	err := Replace(path, func(io.Writer) error { return nil })
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
}
