package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bankmore/bankmore/e2e/stack"
)

// operation is what a run sends.
type operation struct {
	name  string
	good  []int // the statuses that count
	fees  bool  // whether each has a fee
	about string
}

var (
	floor      = operation{"floor", []int{http.StatusUnauthorized}, false, "a transfer without a token: 401 at the end of the same way"}
	operations = map[string]operation{
		"uniform":   {"uniform", []int{http.StatusOK}, true, "transfers, anybody to anybody"},
		"hot":       {"hot", []int{http.StatusOK}, true, "transfers, everybody to one account"},
		"deposit":   {"deposit", []int{http.StatusOK, http.StatusNoContent, http.StatusCreated}, false, "deposits"},
		"balance":   {"balance", []int{http.StatusOK}, false, "balances"},
		"statement": {"statement", []int{http.StatusOK}, false, "statements of 20 movements"},
	}
)

// result is one run.
type result struct {
	Operation   string             `json:"operation"`
	Connections int                `json:"connections"`
	Round       int                `json:"round"`
	Figures     figures            `json:"figures"`
	Rate        float64            `json:"rate"`                   // good answers per second, those with 202 not among them
	Later       int                `json:"later"`                  // answers with 202: accepted, and done after the answer
	Floor       float64            `json:"floor"`                  // the mean rate of the floor before and after
	FloorP50    float64            `json:"floor_p50"`              // likewise, in microseconds
	Bad         int                `json:"bad"`                    // other answers, and requests without one
	CPU         map[string]float64 `json:"cpu_ms"`                 // by program: milliseconds per operation, until its fee is charged
	Resident    map[string]int64   `json:"resident_bytes"`         // by program, when the run ended
	Charged     float64            `json:"charged_rate,omitempty"` // transfers per second until the last fee was charged
}

// ratio is the rate as a part of the floor's.
func (r result) ratio() float64 { return r.Rate / r.Floor }

// results are all runs.
type results struct {
	Began    time.Time          `json:"began"`
	Engine   string             `json:"engine"`
	Seeded   int                `json:"seeded"` // accounts that were there before
	Accounts int                `json:"accounts"`
	Runs     []result           `json:"runs"`
	Memory   map[string][]int64 `json:"memory,omitempty"` // of the soak: bytes by program, every 10 s
}

// engines says what a profile is, in the results.
var engines = map[string]string{stack.Embedded: "SQLite, embedded broker", stack.Servers: "PostgreSQL, Redis, Kafka"}

// meter measures one system.
type meter struct {
	stack *stack.Stack
	load  *load
}

// measure runs everything that o names.
func measure(ctx context.Context, s *stack.Stack, o options) (*results, error) {
	all := &results{Began: time.Now().UTC().Truncate(time.Second), Engine: engines[s.Name()], Seeded: o.seeded}
	prepare := func() error { return register(ctx, s, o.accounts) }
	if o.seeded > 0 {
		prepare = func() error { return seed(ctx, s, o.seeded) }
	}
	progress("%s: %d accounts", all.Engine, max(o.accounts, o.seeded))
	if err := prepare(); err != nil {
		return nil, err
	}
	who, err := customers(ctx, s, o.accounts)
	if err != nil {
		return nil, err
	}
	all.Accounts = len(who)
	dir, err := os.MkdirTemp("", "bankmore-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	l, err := newLoad(dir, s.URL(), who)
	if err != nil {
		return nil, err
	}
	m := &meter{stack: s, load: l}
	if err := m.warmUp(ctx, o); err != nil {
		return nil, err
	}
	for round := 1; round <= o.rounds; round++ {
		for _, connections := range o.connections {
			n, err := strconv.Atoi(connections)
			if err != nil {
				return nil, fmt.Errorf("-connections: %w", err)
			}
			runs, err := m.round(ctx, n, round, o)
			if err != nil {
				return nil, err
			}
			all.Runs = append(all.Runs, runs...)
		}
	}
	return all, m.extras(ctx, all, o)
}

// warmUp lets caches fill, programs get their memory and connections open, and the Java machine of Kafka compile what is
// used, before anything is measured.
func (m *meter) warmUp(ctx context.Context, o options) error {
	progress("warming up")
	for _, name := range slices.Compact(append(list{"uniform"}, o.operations...)) {
		duration := o.warmUp
		if name != "uniform" {
			duration = max(time.Second, o.warmUp/10)
		}
		if _, err := m.load.send(ctx, name, 64, duration); err != nil {
			return err
		}
	}
	return m.drain(ctx)
}

// round runs each operation once, with the floor between.
func (m *meter) round(ctx context.Context, connections, round int, o options) ([]result, error) {
	var runs []result
	before, err := m.run(ctx, floor, connections, max(time.Second, o.duration/2))
	if err != nil {
		return nil, err
	}
	before.Round, before.Floor, before.FloorP50 = round, before.Rate, float64(before.Figures.P50)
	runs = append(runs, before)
	for _, name := range o.operations {
		op, ok := operations[name]
		if !ok {
			return nil, fmt.Errorf("-operations: there is no %s", name)
		}
		r, err := m.run(ctx, op, connections, o.duration)
		if err != nil {
			return nil, err
		}
		after, err := m.run(ctx, floor, connections, max(time.Second, o.duration/2))
		if err != nil {
			return nil, err
		}
		after.Round, after.Floor, after.FloorP50 = round, after.Rate, float64(after.Figures.P50)
		r.Round, r.Floor, r.FloorP50 = round, (before.Rate+after.Rate)/2, (before.FloorP50+after.FloorP50)/2
		progress("%d connections, %s: %.0f/s, %.2f of the floor, p50 %s", connections, name, r.Rate, r.ratio(), milliseconds(float64(r.Figures.P50)))
		runs = append(runs, r, after)
		before = after
	}
	return runs, nil
}

// tally counts the good answers, those with 202, and the other ones with the requests that had none.
func (f figures) tally(op operation) (good, later, bad int) {
	good, later = f.answers(op.good...), f.answers(http.StatusAccepted)
	for _, n := range f.Statuses {
		bad += n
	}
	for _, n := range f.Errors {
		bad += n
	}
	return good, later, bad - good - later
}

// run sends one operation, and waits until its fees are charged.
func (m *meter) run(ctx context.Context, op operation, connections int, duration time.Duration) (r result, err error) {
	before, err := measureUsage(m.stack)
	if err != nil {
		return r, err
	}
	began := time.Now()
	f, err := m.load.send(ctx, op.name, connections, duration)
	if err != nil {
		return r, err
	}
	ended, err := measureUsage(m.stack)
	if err != nil {
		return r, err
	}
	after := ended
	good, later, bad := f.tally(op)
	r = result{
		Operation: op.name, Connections: connections, Figures: f, Rate: f.rate(good), Later: later, Bad: bad,
		CPU: map[string]float64{}, Resident: map[string]int64{},
	}
	if good == 0 {
		return r, fmt.Errorf("%s from %d connections: no good answer: %v, %v", op.name, connections, f.Statuses, f.Errors)
	}
	if op.fees {
		if err := m.drain(ctx); err != nil {
			return r, err
		}
		r.Charged = float64(good+later) / time.Since(began).Seconds()
		if after, err = measureUsage(m.stack); err != nil {
			return r, err
		}
	}
	for name, u := range after {
		r.CPU[name] = (u.CPU - before[name].CPU) * 1000 / float64(good+later)
		r.Resident[name] = ended[name].Resident
	}
	return r, nil
}

// How long the fees of a run may take, and how often drain looks.
const (
	drainTimeout  = 2 * time.Minute
	drainInterval = 50 * time.Millisecond
)

// drain waits until every transfer has ended and its fee is charged.
func (m *meter) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for {
		completed, err := m.counter(ctx, "transfer-svc", `bankmore_transfers_finished_total{outcome="completed"}`)
		if err != nil {
			return err
		}
		charged, err := m.counter(ctx, "fee-svc", `bankmore_fee_collections_total{outcome="charged"}`)
		if err != nil {
			return err
		}
		if charged >= completed {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%.0f of %.0f fees are charged: %w", charged, completed, ctx.Err())
		case <-time.After(drainInterval):
		}
	}
}

// counter reads one series of a service's metrics.
func (m *meter) counter(ctx context.Context, service, series string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.stack.Apps[service].URL+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", service, series)
}

// crowdSize is how many connections the run has that must not break anything.
const crowdSize = 1000

// extras runs what is not part of the rounds.
func (m *meter) extras(ctx context.Context, all *results, o options) error {
	type extra struct {
		name        string
		connections int
		duration    time.Duration
	}
	for _, e := range []extra{{"sustained", 256, o.sustained}, {"crowd", crowdSize, o.crowd}} {
		if e.duration == 0 {
			continue
		}
		r, err := m.run(ctx, operations["uniform"], e.connections, e.duration)
		if err != nil {
			return err
		}
		r.Operation = e.name
		progress("%s, %d connections for %s: %.0f/s, with fees %.0f/s, %v", e.name, e.connections, e.duration, r.Rate, r.Charged, r.Figures.Statuses)
		all.Runs = append(all.Runs, r)
	}
	if o.soak == 0 {
		return nil
	}
	return m.soak(ctx, all, o.soak)
}

// soak looks at the memory of every program while transfers run.
func (m *meter) soak(ctx context.Context, all *results, duration time.Duration) error {
	all.Memory = map[string][]int64{}
	done := make(chan error, 1)
	go func() {
		_, err := m.load.send(ctx, "uniform", 256, duration)
		done <- err
	}()
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err != nil {
				return err
			}
			return m.drain(ctx)
		case <-tick.C:
			used, err := measureUsage(m.stack)
			if err != nil {
				return err
			}
			for name, u := range used {
				all.Memory[name] = append(all.Memory[name], u.Resident)
			}
		}
	}
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
