//go:build unix && !linux

package process

import "syscall"

// attributes gives each process a group of its own. Only on Linux can the process also be made to die with this program.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// halted is true, since only Linux's kernel is asked.
func halted(int) (bool, error) { return true, nil }
