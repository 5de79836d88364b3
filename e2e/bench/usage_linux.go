package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/bankmore/bankmore/e2e/stack"
)

// usage is what one program uses: all its processes together.
type usage struct {
	CPU      float64 `json:"cpu_seconds"`    // since they began, their ended children included
	Resident int64   `json:"resident_bytes"` // at this moment
}

// ticks is how many units of time a second has in /proc; it is the same on every Linux that Go runs on.
const ticks = 100

// servers are the names of the programs outside of the stack, by the name of their processes.
var servers = map[string]string{"postgres": "PostgreSQL", "redis-server": "Redis", "java": "Kafka"}

// measureUsage returns what each program of the stack, and each server that it stands on, uses.
func measureUsage(s *stack.Stack) (map[string]usage, error) {
	all := map[string]usage{}
	for _, p := range s.Processes() {
		u, _, err := usageOf(p.PID())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name(), err)
		}
		all[p.Name()] = u
	}
	if s.Name() == stack.Embedded {
		return all, nil
	}
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil {
			return nil, err
		}
		u, command, err := usageOf(pid)
		if name := servers[command]; err == nil && name != "" { // else it has ended, or is another program
			sum := all[name]
			all[name] = usage{CPU: sum.CPU + u.CPU, Resident: sum.Resident + u.Resident}
		}
	}
	return all, nil
}

// usageOf reads proc_pid_stat(5): utime, stime, cutime, cstime are the fields 14 to 17, rss is 24.
func usageOf(pid int) (u usage, command string, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, "", err
	}
	first, last := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')')
	fields := strings.Fields(string(raw[last+1:])) // from the third on
	number := func(field int) (n int64) {
		if err == nil {
			n, err = strconv.ParseInt(fields[field-3], 10, 64)
		}
		return n
	}
	for field := 14; field <= 17; field++ {
		u.CPU += float64(number(field)) / ticks
	}
	u.Resident = number(24) * int64(os.Getpagesize())
	return u, string(raw[first+1 : last]), err
}
