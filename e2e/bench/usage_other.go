//go:build !linux

package main

import (
	"errors"

	"github.com/bankmore/bankmore/e2e/stack"
)

type usage struct {
	CPU      float64 `json:"cpu_seconds"`
	Resident int64   `json:"resident_bytes"`
}

func measureUsage(*stack.Stack) (map[string]usage, error) {
	return nil, errors.New("the benchmark reads what programs use from /proc, which only Linux has")
}
