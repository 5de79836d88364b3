//go:build unix && !linux

package stack

import "syscall"

// processAttributes gives each process a group of its own. Only Linux can tie it to the life of this program.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
