//go:build !chaos

package e2e_test

import "github.com/bankmore/bankmore/e2e/stack"

// adapt leaves the system as it is in production.
func adapt(*stack.Options) {}
