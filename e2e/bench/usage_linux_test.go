package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

// The benchmark knows what this process has used.
func TestUsageOf(t *testing.T) {
	var u usage
	var command string
	var err error
	for began := time.Now(); err == nil && u.CPU <= 0 && time.Since(began) < 20*time.Second; { // the kernel counts in units of 10 ms
		_ = strings.Repeat("x", 1000)
		u, command, err = usageOf(os.Getpid())
	}
	if err != nil || u.CPU <= 0 || u.Resident < 1<<20 || command == "" {
		t.Errorf("%+v, %q, %v", u, command, err)
	}
}
