package service

import (
	"runtime/debug"
	"testing"
)

// The environment's GOGC comes before ours.
func TestGarbageIsCollectedRarely(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	for given, want := range map[string]int{"": garbageShare, "50": 50} {
		t.Setenv("GOGC", given)
		debug.SetGCPercent(50) // as Go itself does at the start of a process whose GOGC is 50
		collectGarbageRarely()
		if got := debug.SetGCPercent(100); got != want {
			t.Errorf("with GOGC=%q garbage is collected at %d percent, want %d", given, got, want)
		}
	}
}
