//go:build !linux

package main

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// childAttributes gives a child its own process group.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// process is a running one; command is its command line.
type process struct {
	pid     int
	command string
}

// group returns the processes of a process group.
func group(pgid int) ([]process, error) {
	out, err := exec.Command("ps", "-axww", "-o", "pid=,pgid=,state=,command=").Output()
	if err != nil {
		return nil, fmt.Errorf("ps: %w", err)
	}
	var members []process
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[1] != strconv.Itoa(pgid) || strings.HasPrefix(fields[2], "Z") {
			continue
		}
		pid, err := strconv.Atoi(fields[0])
		if err != nil {
			continue
		}
		members = append(members, process{pid, strings.Join(fields[3:], " ")})
	}
	return members, nil
}
