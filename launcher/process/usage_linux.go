package process

import (
	"fmt"
	"os"
	"strings"
)

// Usage is what a process uses of the machine.
type Usage struct {
	Resident int64 // bytes of memory
	Files    int   // open files, connections among them
}

// Usage returns what the process uses at this moment.
func (p *Process) Usage() (u Usage, err error) {
	folder := fmt.Sprintf("/proc/%d/", p.PID())
	raw, err := os.ReadFile(folder + "statm")
	if err != nil {
		return u, fmt.Errorf("%s: %w", p.spec.Name, err)
	}
	var total int64
	if _, err := fmt.Fscan(strings.NewReader(string(raw)), &total, &u.Resident); err != nil { // in pages
		return u, fmt.Errorf("%s: %q: %w", p.spec.Name, raw, err)
	}
	u.Resident *= int64(os.Getpagesize())
	files, err := os.ReadDir(folder + "fd")
	if err != nil {
		return u, fmt.Errorf("%s: %w", p.spec.Name, err)
	}
	u.Files = len(files)
	return u, nil
}
