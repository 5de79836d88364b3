package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

// The benchmark knows what this process has used.
func TestUsageOf(t *testing.T) {
	for began := time.Now(); time.Since(began) < 50*time.Millisecond; { // some CPU
		_ = strings.Repeat("x", 1000)
	}
	u, command, err := usageOf(os.Getpid())
	if err != nil || u.CPU <= 0 || u.Resident < 1<<20 || command == "" {
		t.Errorf("%+v, %q, %v", u, command, err)
	}
}
