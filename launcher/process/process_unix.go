//go:build unix && !linux

package process

import "syscall"

// attributes gives each process a group of its own. Only Linux can tie it to the life of this program.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
