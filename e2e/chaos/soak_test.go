package chaos_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/bankmore/bankmore/e2e/bank"
	"github.com/bankmore/bankmore/e2e/stack"
)

var soakFlag = flag.Duration("soak", 10*time.Minute, "how long TestSoak lasts")

// Of 256 connections, most hang up. The others are customers at work.
const (
	soakHangUps   = 192
	soakCustomers = 64
)

// How much more a process may have at the end than after the warm-up.
const (
	growth       = 1.25
	memoryMargin = 24 << 20 // bytes: what the garbage collector's next cycle may take
	filesMargin  = 64
)

// A service on SQLite caches pages of its file, which grows: on each connection as much as the file has grown by, up to a
// limit. (See platform/sqldb. The pages are not in Go's heap, which is bounded like everything else.)
const (
	sqliteConnections = 9
	sqlitePages       = 4 << 20 // bytes
)

// TestSoak lets clients hang up for a long time beside ordinary load. Every process lives, none grows once it is warm,
// a neighbour is not disturbed, and the books are right in the end.
func TestSoak(t *testing.T) {
	ran = true
	s := &scenario{T: t}
	defer func() {
		printTable(append(s.notes, fmt.Sprintf("\ttotal\t%d\t%d\t%d\t", s.repetitions, s.effects, s.violations)))
	}()
	s.heal()
	ana, bia := s.customer("Ana Demora", "100000.00"), s.customer("Bia Demora", "")
	caio := s.customer("Caio Demora", "100000.00")
	s.history(ana, bia)
	s.history(caio, bia)
	before := alive()

	s.beginWith(rand.Uint64(), soakCustomers, 300*time.Millisecond)
	n := s.neighbour(caio, bia)
	ctx, stop := context.WithTimeout(t.Context(), *soakFlag)
	defer stop()
	h := s.hangUp(ctx, soakHangUps, time.Second, ana, bia)
	measured := s.measure(ctx, *soakFlag)
	stop()
	h.ended.Wait()
	told := n.end()
	s.survived(before)
	if !s.Failed() {
		h.end()
		s.note("%d connections were reset before an answer began, %d after its first byte; %d transfers among them", h.early.Load(), h.late.Load(), len(h.transfers))
		s.note("%s", told)
	}
	s.end()
	s.flat(measured)
	if !s.Failed() {
		s.check()
	}
}

// usage is what a process has at a moment. Not all processes have all of it.
type usage struct {
	resident int64 // bytes of memory
	files    int64 // open files, connections among them
	heap     int64 // bytes in use of Go's heap; services only
	pages    int64 // bytes in the database's file; services on SQLite only
}

var heapMetric = regexp.MustCompile(`(?m)^go_memstats_heap_inuse_bytes (\S+)$`)

// usageOf looks at a process.
func usageOf(p *stack.Process) (u usage, err error) {
	taken, err := p.Usage()
	if err != nil {
		return u, err
	}
	u.resident, u.files = taken.Resident, int64(taken.Files)
	app := system.Apps[p.Name()]
	if app == nil || app.ID == stack.Ingress {
		return u, nil
	}
	text, err := bank.Fetch(context.Background(), app.URL+"/metrics")
	if err != nil {
		return u, err
	}
	found := heapMetric.FindSubmatch(text)
	if found == nil {
		return u, fmt.Errorf("%s does not say how large its heap is", p.Name())
	}
	heap, err := strconv.ParseFloat(string(found[1]), 64)
	u.heap = int64(heap)
	if err == nil && app.Database != "" {
		var info os.FileInfo
		if info, err = os.Stat(app.Database); err == nil {
			u.pages = info.Size()
		}
	}
	return u, err
}

// measure looks at every process until the time is over or one has ended.
func (s *scenario) measure(ctx context.Context, lasts time.Duration) map[string][]usage {
	s.Helper()
	const samples = 200
	measured := map[string][]usage{}
	tick := time.NewTicker(lasts / samples)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return measured
		case <-tick.C:
		}
		if system.Crashed() != nil {
			return measured
		}
		for _, p := range system.Processes() {
			u, err := usageOf(p)
			if err != nil && system.Crashed() == nil {
				s.must(err)
			}
			measured[p.Name()] = append(measured[p.Name()], u)
		}
	}
}

// flat prints what every process had after the warm-up, in the middle and at the end, and checks that it does not grow.
// Each is the median of a tenth of the time.
func (s *scenario) flat(measured map[string][]usage) {
	s.Helper()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "after the warm-up, in the middle, at the end:\tresident, MiB\tGo's heap, MiB\tdatabase, MiB\topen files\t")
	for _, p := range system.Processes() {
		all := measured[p.Name()]
		if len(all) < 20 {
			s.violated("%s was looked at %d times: that proves nothing", p.Name(), len(all))
			continue
		}
		start, middle, end := around(all, 0.25), around(all, 0.6), around(all, 0.95)
		fmt.Fprintf(w, "%s\t%d, %d, %d\t%d, %d, %d\t%d, %d, %d\t%d, %d, %d\t\n", p.Name(),
			start.resident>>20, middle.resident>>20, end.resident>>20, start.heap>>20, middle.heap>>20, end.heap>>20,
			start.pages>>20, middle.pages>>20, end.pages>>20, start.files, middle.files, end.files)
		s.checked(3)
		if p.Name() == "broker" {
			continue // the embedded broker keeps every event in memory
		}
		bounded := func(what string, start, end, margin int64) {
			if most := int64(float64(start)*growth) + margin; end > most {
				s.violated("%s of %s: %d after the warm-up, %d at the end, and at most %d", what, p.Name(), start, end, most)
			}
		}
		cached := sqliteConnections * min(sqlitePages, max(0, end.pages-start.pages))
		bounded("resident memory", start.resident, end.resident, memoryMargin+cached)
		bounded("Go's heap", start.heap, end.heap, memoryMargin)
		bounded("open files", start.files, end.files, filesMargin)
	}
	_ = w.Flush()
}

// around is the median of what was seen in the tenth of the time around a moment, which is a share of all.
func around(all []usage, moment float64) usage {
	from, to := int(float64(len(all))*(moment-0.05)), int(float64(len(all))*(moment+0.05))
	some := all[from:min(to+1, len(all))]
	median := func(of func(usage) int64) int64 {
		values := make([]int64, len(some))
		for i, u := range some {
			values[i] = of(u)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return usage{
		resident: median(func(u usage) int64 { return u.resident }), files: median(func(u usage) int64 { return u.files }),
		heap: median(func(u usage) int64 { return u.heap }), pages: median(func(u usage) int64 { return u.pages }),
	}
}
