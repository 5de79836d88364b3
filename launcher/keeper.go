package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/bankmore/bankmore/launcher/process"
)

// rule says what happens to a program that ends by itself. The keeper starts it again after a pause, which doubles with each
// further end. If the program ends too often, the keeper gives it up.
type rule struct {
	most   int           // the keeper gives up at so many ends within the time within
	within time.Duration // earlier ends do not count
	pause  time.Duration // before the second restart; the first restart follows at once
}

// usual is the rule of `make run`. It gives up a program that cannot start at all after about four seconds.
var usual = rule{most: 5, within: time.Minute, pause: 500 * time.Millisecond}

// keeper keeps programs running.
type keeper struct {
	rule   rule
	say    func(format string, args ...any)
	all    sync.WaitGroup
	failed chan error // gets an error for each program that is given up
}

func newKeeper(rule rule, say func(format string, args ...any)) *keeper {
	return &keeper{rule: rule, say: say, failed: make(chan error, 1)}
}

// keep starts a program. Until ctx ends, it starts the program again whenever the program ends.
func (k *keeper) keep(ctx context.Context, p *process.Process) error {
	if err := p.Launch(); err != nil {
		return err
	}
	k.all.Go(func() {
		if err := k.watch(ctx, p); err != nil {
			select {
			case k.failed <- err:
			default: // the keeper has given up another program, which stops everything anyway
			}
		}
	})
	return nil
}

func (k *keeper) watch(ctx context.Context, p *process.Process) error {
	var ends []time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.Exited():
		}
		select {
		case <-ctx.Done(): // both happened at once: the program may have ended because of the stop
			return nil
		default:
		}
		now := time.Now()
		ends = append(ends, now)
		for now.Sub(ends[0]) > k.rule.within {
			ends = ends[1:]
		}
		if len(ends) >= k.rule.most {
			return fmt.Errorf("%s has ended %d times within %s (%s) and is given up; its log ends with:\n%s",
				p.Name(), len(ends), k.rule.within, p.Status(), p.LogTail())
		}
		pause := k.pause(len(ends))
		if pause > 0 {
			k.say("%s ended by itself (%s); it is started again in %s", p.Name(), p.Status(), pause)
		} else {
			k.say("%s ended by itself (%s); it is started again", p.Name(), p.Status())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		if err := p.Launch(); err != nil {
			return err
		}
		if p.WaitReady(ctx) == nil {
			k.say("%s is back after %.1f s", p.Name(), time.Since(now).Seconds())
		}
	}
}

// pause returns how long to wait before the restart after the n-th end.
func (k *keeper) pause(n int) time.Duration {
	if n < 2 {
		return 0
	}
	return k.rule.pause << (n - 2)
}
