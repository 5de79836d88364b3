package batch_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/bankmore/bankmore/platform/batch"
)

// For any bad inputs, any callers that give up, and any spread of inputs over keys and callers: a bad input fails with its
// own error, no other input fails, each input is done at most once, and those of one caller and key keep their order.
func TestAnyBadInputsFailAlone(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d := newDesk()
		callers := make([][]order, rapid.IntRange(1, 8).Draw(r, "callers"))
		leaves := make([]time.Duration, len(callers))
		own := map[order]error{}
		n := 0
		for i := range callers {
			for range rapid.IntRange(1, 40).Draw(r, "inputs") {
				o := order{rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(r, "key"), n}
				n++
				if rapid.IntRange(0, 9).Draw(r, "bad") == 0 {
					own[o] = failure{errors.New("bad"), batch.OneInput}
					d.bad[o] = own[o]
				}
				callers[i] = append(callers[i], o)
			}
			leaves[i] = rapid.SampledFrom([]time.Duration{time.Hour, time.Hour, 3 * time.Millisecond}).Draw(r, "leaves after")
		}
		var problems []any
		var mu sync.Mutex
		synctest.Test(t, func(t *testing.T) {
			b := batch.NewDivisible(d.run, keyOf, batch.Options{MaxItems: 64})
			var waiting sync.WaitGroup
			for i, inputs := range callers {
				waiting.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), leaves[i])
					defer cancel()
					outs, errs := b.DoAll(ctx, inputs)
					mu.Lock()
					defer mu.Unlock()
					for place, o := range inputs {
						switch err := errs[place]; {
						case errors.Is(err, context.DeadlineExceeded) && leaves[i] < time.Hour:
						case own[o] != nil && (err == nil || err != own[o]): //nolint:errorlint // the very value
							problems = append(problems, o, err)
						case own[o] == nil && (err != nil || outs[place] != o.n):
							problems = append(problems, o, outs[place], err)
						}
					}
				})
			}
			waiting.Wait()
			b.Close()
		})
		seen := map[int]bool{}
		for key, done := range d.done {
			for _, n := range done {
				if seen[n] || own[order{key, n}] != nil {
					problems = append(problems, "done twice, or bad and done", key, n)
				}
				seen[n] = true
			}
			for _, inputs := range callers {
				var mine []int
				for _, n := range done {
					if slices.Contains(inputs, order{key, n}) {
						mine = append(mine, n)
					}
				}
				if !slices.IsSorted(mine) {
					problems = append(problems, "out of order", key, mine)
				}
			}
		}
		if len(problems) > 0 {
			r.Fatal(problems...)
		}
		if d.flights > 2*n+len(callers) {
			r.Fatalf("%d flights for %d inputs", d.flights, n)
		}
	})
}
