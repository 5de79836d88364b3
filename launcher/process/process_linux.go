package process

import "syscall"

// attributes gives each process a group of its own, and has the kernel kill it if this program is killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
