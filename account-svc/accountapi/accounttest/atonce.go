package accounttest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

func sameKeyAtOnce(t *testing.T, b bank) {
	b.open(ana, 100)
	b.open(bia, 0)
	var first atomic.Int32
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			outcome, err := b.Move(t.Context(), debit("t1", ana, bia, 60))
			if err != nil || outcome.Refusal != nil {
				t.Errorf("%+v, %v", outcome, err)
			}
			if !outcome.Replayed {
				first.Add(1)
			}
		})
	}
	all.Wait()
	if first.Load() != 1 {
		t.Errorf("%d answers were the first", first.Load())
	}
	b.wantBalance(ana, 40)
}

func movementsAtOnce(t *testing.T, b bank) {
	b.open(ana, 1000)
	b.open(bia, 1000)
	var moved, refused atomic.Int32
	var all sync.WaitGroup
	for i := range 64 {
		from, to := ana, bia
		if i%2 == 1 {
			from, to = bia, ana
		}
		all.Go(func() {
			outcome, err := b.Move(t.Context(), debit(fmt.Sprint("t", i), from, to, 100))
			switch {
			case err != nil:
				t.Error(err)
			case outcome.Refusal == nil:
				moved.Add(1)
			default:
				refused.Add(1)
			}
		})
	}
	all.Wait()
	if moved.Load() != 20 || refused.Load() != 44 {
		t.Errorf("%d debits of 100 out of twice 1000, %d refused", moved.Load(), refused.Load())
	}
	b.wantBalance(ana, 0)
	b.wantBalance(bia, 0)
}
