//go:build chaos

package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/bankmore/bankmore/launcher/process"
)

var soakFlag = flag.Duration("soak", 10*time.Minute, "how long TestSoak lasts")

// Of 256 connections, most hang up. The others are customers at work.
const (
	soakHangUps   = 192
	soakCustomers = 64
)

// How much more a process may have at the end than after the warm-up, in resident memory and in open files.
const (
	memoryGrowth = 1.25
	memoryMargin = 24 << 20 // bytes: what the garbage collector's next cycle may take
	filesGrowth  = 1.25
	filesMargin  = 64
)

// TestSoak lets clients hang up for a long time beside ordinary load. Every process lives, none grows once it is warm,
// a neighbour is not disturbed, and the books are right in the end.
func TestSoak(t *testing.T) {
	s := &scene{T: t}
	defer func() {
		printTable(append(s.notes, fmt.Sprintf("\ttotal\t%d\t%d\t%d\t", s.repetitions, s.effects, s.violations)))
	}()
	s.heal()
	ana, bia := s.person("Ana Demora", "100000.00"), s.person("Bia Demora", "")
	caio := s.person("Caio Demora", "100000.00")
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

// usages are what a process had, at regular times.
type usages map[string][]process.Usage

// measure looks at every process until the time is over or one has ended.
func (s *scene) measure(ctx context.Context, lasts time.Duration) usages {
	s.Helper()
	const samples = 200
	measured := usages{}
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
			u, err := p.Usage()
			s.must(err)
			measured[p.Name()] = append(measured[p.Name()], u)
		}
	}
}

// flat prints what every process had after the warm-up, in the middle and at the end, and checks that it does not grow.
// Each is the median of a tenth of the time.
func (s *scene) flat(measured usages) {
	s.Helper()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "process\tMiB after warm-up\tin the middle\tat the end\topen files after warm-up\tin the middle\tat the end\t")
	for _, p := range system.Processes() {
		all := measured[p.Name()]
		if len(all) < 20 {
			s.violated("%s was looked at %d times: that proves nothing", p.Name(), len(all))
			continue
		}
		start, middle, end := around(all, 0.25), around(all, 0.6), around(all, 0.95)
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", p.Name(), start.Resident>>20, middle.Resident>>20, end.Resident>>20, start.Files, middle.Files, end.Files)
		s.checked(2)
		if strings.HasPrefix(p.Name(), "broker") {
			continue // the embedded broker keeps every event in memory
		}
		if most := int64(float64(start.Resident)*memoryGrowth) + memoryMargin; end.Resident > most {
			s.violated("%s has grown from %d to %d MiB", p.Name(), start.Resident>>20, end.Resident>>20)
		}
		if most := int(float64(start.Files)*filesGrowth) + filesMargin; end.Files > most {
			s.violated("%s had %d files open, and has %d", p.Name(), start.Files, end.Files)
		}
	}
	_ = w.Flush()
}

// around is the median of what was seen in the tenth of the time around a moment, which is a share of all.
func around(all []process.Usage, moment float64) process.Usage {
	from, to := int(float64(len(all))*(moment-0.05)), int(float64(len(all))*(moment+0.05))
	some := all[from:min(to+1, len(all))]
	var resident, files []int64
	for _, u := range some {
		resident, files = append(resident, u.Resident), append(files, int64(u.Files))
	}
	slices.Sort(resident)
	slices.Sort(files)
	return process.Usage{Resident: resident[len(some)/2], Files: int(files[len(some)/2])}
}
