package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
)

//go:embed load.lua
var script []byte

// load is wrk with what it needs to send requests to one system.
type load struct {
	dir  string // holds its script, the customers and the figures
	base string // URL of the front door
	runs int
}

// newLoad returns a load that sends requests of these customers to base. Everything it writes is in dir.
func newLoad(dir, base string, customers []customer) (*load, error) {
	if _, err := exec.LookPath("wrk"); err != nil {
		return nil, errors.New("wrk, which sends the load, is not installed: apt-get install wrk")
	}
	file, err := os.Create(filepath.Join(dir, "customers"))
	if err != nil {
		return nil, err
	}
	for _, c := range customers {
		if _, err := fmt.Fprintf(file, "%s %s\n", c.token, c.number); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	return &load{dir: dir, base: base}, errors.Join(file.Close(), os.WriteFile(filepath.Join(dir, "load.lua"), script, 0o600))
}

// figures are what wrk has measured in one run.
type figures struct {
	Microseconds int64          `json:"microseconds"` // how long the run took
	P50          int64          `json:"p50"`          // latency in microseconds
	P99          int64          `json:"p99"`
	Statuses     map[string]int `json:"statuses"` // answers by HTTP status
	Errors       map[string]int `json:"errors"`   // requests without an answer, by kind
}

// answers returns how many answers had one of these statuses.
func (f figures) answers(statuses ...int) (n int) {
	for _, status := range statuses {
		n += f.Statuses[strconv.Itoa(status)]
	}
	return n
}

// rate is n per second of the run.
func (f figures) rate(n int) float64 { return float64(n) / (float64(f.Microseconds) / 1e6) }

// send sends one operation from that many connections, each with one request at a time, for that long.
func (l *load) send(ctx context.Context, operation string, connections int, duration time.Duration) (f figures, err error) {
	l.runs++
	out := filepath.Join(l.dir, "figures")
	threads := min(2, connections) // one per core
	cmd := exec.CommandContext(ctx, "wrk", "--threads", strconv.Itoa(threads), "--connections", strconv.Itoa(connections),
		"--duration", fmt.Sprintf("%ds", int(duration.Seconds())), "--timeout", "30s", "--script", filepath.Join(l.dir, "load.lua"), l.base)
	cmd.Env = append(os.Environ(), "OPERATION="+operation, "CUSTOMERS="+filepath.Join(l.dir, "customers"), "FIGURES="+out,
		fmt.Sprintf("RUN=bench-%d", l.runs))
	if printed, err := cmd.CombinedOutput(); err != nil {
		return f, fmt.Errorf("wrk: %w\n%s", err, printed)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		return f, fmt.Errorf("wrk wrote no figures: %w", err)
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return f, fmt.Errorf("wrk's figures: %w: %s", err, raw)
	}
	return f, os.Remove(out)
}
