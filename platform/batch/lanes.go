package batch

import (
	"context"
	"slices"
	"time"
)

// Bounds of lanes.
const (
	maxLanes   = 8                      // flights of lanes at once that do not wait for a lock, and as many that do
	suspicion  = time.Second            // how long the new calls of a key that has failed go straight to its lane
	straggling = 100 * time.Millisecond // how long DoAll waits, after an answer, for inputs in lanes; DoAllBriefly also before the first
)

// lane is the queue of one key, beside the line.
type lane[In, Out any] struct {
	pending   []*call[In, Out]
	flying    bool
	works     bool      // its last flight has had no failure
	locked    bool      // a flight has met a lock: the next flights may wait for it, and count as patient
	suspected time.Time // until then new calls of this key join the lane, not the line
}

// onTheLine marks the context of a flight that must not wait for a lock, since other calls wait behind it.
type onTheLine struct{}

// Patient reports whether a Func may wait for a lock. It may not while calls with other keys wait behind its flight: there
// it fails with SameKey instead. The batcher then tries the inputs again by key, and in the end lets the Func wait.
func Patient(ctx context.Context) bool { return ctx.Value(onTheLine{}) == nil }

// joinLane puts a call into the lane of its key, if the key has one, and reports whether it did. The caller holds mu.
func (b *Batcher[In, Out]) joinLane(c *call[In, Out]) bool {
	if len(b.lanes) == 0 {
		return false
	}
	key := b.key(c.in)
	if !b.hasLane(key) {
		return false
	}
	b.append(b.lanes[key], c)
	return true
}

// hasLane reports whether new calls with that key join a lane. The caller holds mu.
func (b *Batcher[In, Out]) hasLane(key string) bool {
	l := b.lanes[key]
	return l != nil && (l.flying || time.Now().Before(l.suspected))
}

// Apart reports whether one of the keys is in a lane, beside the line, because inputs with that key have failed or may fail. A
// Func whose inputs need more than their key asks it, and lets such an input do only what needs the key alone. Then a flight
// of a lane, which may wait long for a lock, holds nothing that other keys need. If MaxFlights is 1, the keys of inputs on the
// line are not apart, and no key becomes so while their flight is under way.
func (b *Batcher[In, Out]) Apart(keys ...string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.lanes) > 0 && slices.ContainsFunc(keys, b.hasLane)
}

// setApart moves the calls of a flight that failed to the lanes of their keys. Calls on the line with one of these keys
// follow, so that no call overtakes an earlier one of its key.
func (b *Batcher[In, Out]) setApart(calls []*call[In, Out]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range calls {
		key := b.key(c.in)
		l := b.lanes[key]
		if l == nil {
			l = &lane[In, Out]{}
			b.lanes[key] = l
		}
		b.append(l, c)
	}
	b.pending = slices.DeleteFunc(b.pending, b.joinLane)
}

func (b *Batcher[In, Out]) append(l *lane[In, Out], c *call[In, Out]) {
	c.apart.Store(true)
	l.pending = append(l.pending, c)
	b.apart++
	if !l.flying {
		l.flying = true
		b.idle.Add(1)
		go b.flyApart(l)
	}
}

// flyApart runs flights of a lane until no call waits in it.
func (b *Batcher[In, Out]) flyApart(l *lane[In, Out]) {
	defer b.idle.Done()
	for {
		tickets := b.quick
		if l.locked {
			tickets = b.patient
		}
		tickets <- struct{}{}
		calls := b.takeApart(l)
		if calls == nil {
			<-tickets
			return
		}
		failed, locked := b.divide(calls, l.locked)
		<-tickets
		b.mu.Lock()
		l.works = !failed
		b.mu.Unlock()
		if failed {
			b.suspect(l, locked)
		}
	}
}

// takeApart takes up to MaxItems calls from a lane. A call whose context has ended gets the context's error instead. If no
// call is left, takeApart ends the lane.
func (b *Batcher[In, Out]) takeApart(l *lane[In, Out]) (calls []*call[In, Out]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.works && !time.Now().Before(l.suspected) {
		b.rejoin(l)
	}
	for len(l.pending) > 0 && len(calls) < b.opts.MaxItems {
		c := l.pending[0]
		l.pending = l.pending[1:]
		b.apart--
		if err := c.ctx.Err(); err != nil {
			var none Out
			c.answer(none, err)
			continue
		}
		calls = append(calls, c)
	}
	if calls == nil {
		l.pending, l.flying = nil, false
		b.forget()
	}
	return calls
}

// rejoin returns the calls of a lane to the line. The key works again. Without rejoin the lane would last for as long as calls
// keep coming. The caller holds mu.
func (b *Batcher[In, Out]) rejoin(l *lane[In, Out]) {
	for _, c := range l.pending {
		c.apart.Store(false)
	}
	b.apart -= len(l.pending)
	b.pending = append(b.pending, l.pending...)
	l.pending = nil
	b.leave()
}

// forget drops the lanes that are idle and no longer suspected, so that they do not pile up.
func (b *Batcher[In, Out]) forget() {
	now := time.Now()
	for key, l := range b.lanes {
		if !l.flying && !now.Before(l.suspected) {
			delete(b.lanes, key)
		}
	}
}

// suspect keeps a lane for the next calls of its key. Calls that have met a lock go to its head, to wait for the lock.
func (b *Batcher[In, Out]) suspect(l *lane[In, Out], locked []*call[In, Out]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l.suspected = time.Now().Add(suspicion)
	if len(locked) > 0 {
		l.locked = true
		l.pending = append(slices.Clone(locked), l.pending...)
		b.apart += len(locked)
	}
}

// divide answers calls of one key. It tries them together, and one by one if the failure lies in one of them. It reports
// whether a call has failed for a reason of its own or of its key: then the key's next calls should stay in the lane.
// If patient is false and a call meets a lock, divide returns that call and all after it without an answer.
func (b *Batcher[In, Out]) divide(calls []*call[In, Out], patient bool) (failed bool, locked []*call[In, Out]) {
	values := calls[0].ctx
	if !patient {
		values = context.WithValue(values, onTheLine{}, true)
	}
	out, err := b.attempt(values, calls)
	switch extent := ExtentOf(err); {
	case extent == SameKey && !patient:
		return true, calls
	case len(calls) == 1 || extent != OneInput:
		answer(calls, out, err)
		return extent != Everything, nil
	}
	for i := range calls {
		own, met := b.divide(calls[i:i+1], patient)
		if met != nil {
			return true, calls[i:]
		}
		failed = own || failed
	}
	return failed, nil
}
