package customer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bankmore/bankmore/platform/fault"
)

const hashTime = 25 * time.Millisecond // of one password, on one core

// visit has a password hashed for a visitor, and returns how long that took, the hash included.
func (h *hashing) visit(ctx context.Context, v Visitor) (time.Duration, error) {
	began := time.Now()
	err := h.do(WithVisitor(ctx, v), func() error { time.Sleep(hashTime); return nil })
	return time.Since(began), err
}

// A flood from other sources, of whatever kind, delays a visitor who has not failed by a few hashes at most.
func TestFloodDelaysNoHonestVisitor(t *testing.T) {
	many := make([]Visitor, 64)
	for n := range many {
		many[n] = Visitor{Source: fmt.Sprint("bot ", n), Later: true}
	}
	fresh := make([]Visitor, 128*10)
	for n := range fresh {
		fresh[n] = Visitor{Source: fmt.Sprint("bot ", n), Network: "bots"}
	}
	for name, flood := range map[string][]Visitor{
		"a source for each attempt, all in one network":       fresh,
		"many sources that have failed or register":           many,
		"one source that has failed":                          {{Source: "bot", Later: true}},
		"one source that has not failed, beside one that has": {{Source: "bot"}, {Source: "other bot", Later: true}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const cores = 2 // hash 80 passwords a second
				h := newHashing(cores)
				var all sync.WaitGroup
				for n := range 128 * 10 { // 128 a second, for 10 s
					all.Go(func() {
						time.Sleep(time.Duration(n) * time.Second / 128)
						_, _ = h.visit(t.Context(), flood[n%len(flood)])
					})
				}
				var worst time.Duration
				for n := range 80 {
					time.Sleep(100 * time.Millisecond)
					took, err := h.visit(t.Context(), Visitor{Source: fmt.Sprint("home ", n), Network: fmt.Sprint("homes ", n)})
					if err != nil {
						t.Errorf("visit %d: %v", n, err)
					}
					worst = max(worst, took)
				}
				// One hash that is under way, one of the later share, one of the other source, and the visitor's own.
				if worst > 4*hashTime {
					t.Errorf("an honest visitor waits for %s", worst)
				}
				all.Wait()
			})
		})
	}
}

// Visitors in the second queue get one turn in laterShare while the first queue is full.
func TestLaterVisitorsGetTheirShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHashing(1)
		var first, later int
		var all sync.WaitGroup
		for n := range 160 { // 4 s of hashing: half of the visitors wait too long and get ErrBusy
			all.Go(func() {
				visitor := Visitor{Source: fmt.Sprint(n % 10), Later: n%2 == 0}
				visitor.Admit = func() error { // one at a time, since there is one core
					if visitor.Later {
						later++
					} else {
						first++
					}
					return nil
				}
				_, _ = h.visit(t.Context(), visitor)
			})
		}
		all.Wait()
		if turns := int(maxQueue / hashTime); first+later < turns || later < turns/laterShare-1 || later > turns/laterShare+1 {
			t.Errorf("%d turns for the first, %d for the later ones", first, later)
		}
	})
}

// The only visitor from one source is served before the second visitor from another source.
func TestSourcesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, later := range []bool{false, true} {
			h := newHashing(1)
			var order []string
			var all sync.WaitGroup
			for _, source := range []string{"a", "a", "a", "b", "b", "c"} {
				all.Go(func() {
					served := func() error { order = append(order, source); return nil }
					if _, err := h.visit(t.Context(), Visitor{Source: source, Later: later, Admit: served}); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
			}
			all.Wait()
			if got := fmt.Sprint(order); got != "[a a b c a b]" { // the first a found the core free
				t.Errorf("served in the order %s", got)
			}
		}
	})
}

// A visitor who waits longer than maxQueue gets ErrBusy with a Retry-After, and leaves nothing in the queue.
func TestHashingDoesNotQueueForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHashing(1)
		end := make(chan struct{})
		go func() { _ = h.do(t.Context(), func() error { <-end; return nil }) }()
		synctest.Wait()
		for _, later := range []bool{false, true} {
			took, err := h.visit(t.Context(), Visitor{Later: later})
			if f := fault.From(err); !errors.Is(err, ErrBusy) || f.RetryAfter == 0 || took != maxQueue {
				t.Errorf("%v after %v", err, took)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if took, err := h.visit(ctx, Visitor{}); fault.From(err).Kind != fault.Unavailable || took != time.Second {
			t.Errorf("a visitor who goes: %v after %v", err, took)
		}
		if !h.first.empty() || !h.later.empty() || len(h.first.all.inside)+len(h.later.all.inside) != 0 {
			t.Error("those who have gone still wait")
		}
		close(end)
		synctest.Wait()
		if took, err := h.visit(t.Context(), Visitor{}); err != nil || took != hashTime {
			t.Errorf("the next visitor: %v after %v", err, took)
		}
	})
}

// If a visitor's wait ends at the moment when the turn comes, the turn passes to the next visitor.
func TestUnusedTurnIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHashing(1)
		for range 100 {
			go func() { _ = h.do(t.Context(), func() error { time.Sleep(maxQueue); return nil }) }()
			synctest.Wait()
			_, _ = h.visit(t.Context(), Visitor{}) // the core becomes free and the wait ends at the same moment
			synctest.Wait()
			if took, err := h.visit(t.Context(), Visitor{}); err != nil || took > 2*hashTime {
				t.Fatalf("the next visitor: %v after %v", err, took)
			}
			time.Sleep(time.Second)
		}
	})
}

// Admit may refuse a visitor whose turn has come. Then no password is hashed.
func TestAdmitIsCalledWhenTheTurnComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHashing(1)
		refusal := errors.New("no more")
		asked := 0
		visitor := Visitor{Admit: func() error {
			if asked++; asked > 1 {
				return refusal
			}
			return nil
		}}
		var all sync.WaitGroup
		for n := range 3 {
			all.Go(func() {
				_, err := h.visit(t.Context(), visitor)
				if (err == nil) != (n == 0) || n > 0 && !errors.Is(err, refusal) {
					t.Errorf("visitor %d: %v", n, err)
				}
			})
			synctest.Wait()
		}
		began := time.Now()
		all.Wait()
		if took := time.Since(began); took != hashTime {
			t.Errorf("three visitors, one hash: %s", took)
		}
	})
}
