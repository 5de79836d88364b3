package sqldbtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Violated collects which invariants the breaches of a test have violated.
type Violated struct {
	names map[string]bool
	of    int
}

// Add reads what a verify has written.
func (v *Violated) Add(out string) {
	for line := range strings.Lines(out) {
		if rest, found := strings.CutPrefix(line, "VIOLATION "); found {
			name, _, _ := strings.Cut(rest, ": ")
			if v.names == nil {
				v.names = map[string]bool{}
			}
			v.names[name] = true
		} else {
			_, _ = fmt.Sscanf(line, "%d invariants checked", &v.of) // other lines leave it as it is
		}
	}
}

// WantAll fails the test unless every invariant was violated. An invariant that no breach violates may never find anything.
func (v *Violated) WantAll(t testing.TB) {
	t.Helper()
	if v.of == 0 || len(v.names) != v.of {
		t.Errorf("the breaches have violated %d of %d invariants: %q", len(v.names), v.of, slices.Sorted(maps.Keys(v.names)))
	}
}
