// Package verify writes down what a check of invariants has found: the form of every program's verify command.
package verify

import (
	"errors"
	"fmt"
	"io"
)

// ErrViolated is the result of a check that has found a violation.
var ErrViolated = errors.New("invariants are violated")

// Report prints what is wrong, and the totals at the end.
type Report struct {
	out                  io.Writer
	violations, warnings int
}

// NewReport returns a report that writes each line to out at once.
func NewReport(out io.Writer) *Report { return &Report{out: out} }

// Violation reports one thing that violates the invariant of that name.
func (r *Report) Violation(name, what string) {
	r.violations++
	fmt.Fprintf(r.out, "VIOLATION %s: %s\n", name, what)
}

// Warning reports one thing that is allowed, and that an operator should look at.
func (r *Report) Warning(name, what string) {
	r.warnings++
	fmt.Fprintf(r.out, "WARNING %s: %s\n", name, what)
}

// Close prints the totals for that number of invariants. It returns ErrViolated if there was any violation.
func (r *Report) Close(invariants int) error {
	warnings := ""
	if r.warnings > 0 {
		warnings = fmt.Sprintf(", %d warnings", r.warnings)
	}
	fmt.Fprintf(r.out, "%d invariants checked, %d violations%s\n", invariants, r.violations, warnings)
	if r.violations > 0 {
		return ErrViolated
	}
	return nil
}
