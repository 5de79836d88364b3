package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// attributes gives each process a group of its own, and has the kernel kill it if this program is killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// halted reports whether each thread of a process has been stopped by a signal, or has ended.
func halted(pid int) (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		return false, fmt.Errorf("the threads of process %d: %w", pid, errors.Join(err, fs.ErrNotExist))
	}
	for _, thread := range threads {
		switch state, err := readState(thread); {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH): // it has ended
		case err != nil:
			return false, err
		case state != 'T' && state != 'Z' && state != 'X':
			return false, nil
		}
	}
	return true, nil
}

// readState reads the state of a process or thread from its file stat: 'T' is stopped, 'Z' and 'X' are ended.
func readState(file string) (byte, error) {
	stat, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	// The state follows the name, which is in parentheses and may contain any character.
	_, rest, found := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	if !found || len(rest) == 0 {
		return 0, fmt.Errorf("%s: no state in %q", file, stat)
	}
	return rest[0], nil
}
