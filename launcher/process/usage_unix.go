//go:build unix && !linux

package process

import "errors"

// Usage is what a process has of the machine.
type Usage struct {
	Resident int64 // bytes of memory
	Files    int   // open files, connections among them
}

// Usage is not known here: only Linux's kernel is asked.
func (*Process) Usage() (Usage, error) { return Usage{}, errors.ErrUnsupported }
