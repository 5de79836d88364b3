//go:build chaos

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/bankmore/bankmore/e2e/stack"
)

// trouble is one fault of the storm: something is done to a target, and undone after a while.
type trouble struct {
	target string
	what   string
	lasts  time.Duration
}

func (t trouble) String() string { return fmt.Sprintf("%s: %s for %s", t.target, t.what, t.lasts) }

// gust is what happens at the same time, after a calm.
type gust struct {
	calm     time.Duration
	troubles []trouble
}

// crashable are the crash points that the storm arms, by service.
var crashable = map[string][]string{
	"account-svc": {"commit.before", "commit.after", "ledger.applied"},
	"transfer-svc": {
		"commit.before", "commit.after", "outbox.claimed", "outbox.published", "recorded.PENDING", "answered.PENDING",
		"recorded.DEBITED", "answered.DEBITED", "recorded.COMPLETED",
	},
	"fee-svc": {"commit.before", "commit.after", "outbox.claimed", "outbox.published", "fees.recorded", "fees.claimed", "fees.answered"},
}

// forecast returns what comes next, again and again: the storm's plan, which the seed decides.
func forecast(seed uint64) func() gust {
	random := rand.New(rand.NewPCG(seed, 0))
	between := func(least, most time.Duration) time.Duration {
		return (least + time.Duration(random.Int64N(int64(most-least)))).Round(time.Millisecond)
	}
	one := func() trouble {
		id := stack.Services[random.IntN(len(stack.Services))]
		anyApp := append([]string{stack.Ingress}, stack.Services...)[random.IntN(len(stack.Services)+1)]
		switch n := random.IntN(10); {
		case n < 3:
			points := crashable[id]
			return trouble{id, "kill at " + points[random.IntN(len(points))], between(time.Second, 3*time.Second)}
		case n < 4:
			return trouble{id, "kill", between(0, 2*time.Second)}
		case n < 5:
			return trouble{id, "terminate", between(0, time.Second)}
		case n < 6:
			return trouble{id, "pause", between(100*time.Millisecond, 4*time.Second)}
		case n < 7:
			return trouble{anyApp + " sidecar", []string{"kill", "pause"}[random.IntN(2)], between(100*time.Millisecond, 3*time.Second)}
		case n < 8:
			return trouble{"broker", "kill", between(100*time.Millisecond, 3*time.Second)}
		case n < 9:
			return trouble{"memory", []string{"flush", "gone"}[random.IntN(2)], between(0, 2*time.Second)}
		default:
			return elsewhere(random, id, between(100*time.Millisecond, 3*time.Second))
		}
	}
	return func() gust {
		g := gust{calm: between(0, 1500*time.Millisecond), troubles: []trouble{one()}}
		if second := one(); random.IntN(3) == 0 && base(second) != base(g.troubles[0]) {
			g.troubles = append(g.troubles, second)
		}
		return g
	}
}

// base is the part of the system that a trouble concerns.
func base(t trouble) string {
	name, _, _ := strings.Cut(t.target, " ")
	return name
}

// storm is trouble of all kinds, often two at once, while customers are at work.
func storm(s *scene) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	s.note("make chaos rows=storm storm=%s seed=%d has the same plan", *stormFlag, seed)
	s.begin(seed)
	s.flows("before the storm")
	next := forecast(seed)
	missed := 0
	for began := time.Now(); time.Since(began) < *stormFlag && !s.Failed(); {
		g := next()
		time.Sleep(g.calm)
		s.Logf("%6.1f s: %s", time.Since(began).Seconds(), g.troubles)
		var all sync.WaitGroup
		for _, t := range g.troubles {
			all.Go(func() {
				caused, err := s.cause(t)
				if err != nil {
					s.violated("%s: %v", t, err)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				if caused {
					s.repetitions++
				} else {
					missed++
				}
			})
		}
		all.Wait()
	}
	s.note("%d crash points besides were not reached in time", missed)
	s.heal()
	s.flows("after the storm")
	s.end()
}

// cause makes the trouble, waits, and undoes it. A crash point may not be reached in the time that it has.
func (s *scene) cause(t trouble) (caused bool, err error) {
	ctx := s.Context()
	name := base(t)
	p := (*stack.Process)(nil)
	if app := system.Apps[name]; app != nil {
		if p = app.Service; strings.HasSuffix(t.target, "sidecar") {
			p = app.Sidecar
		}
	}
	switch what, point, _ := strings.Cut(t.what, " at "); {
	case point != "":
		trap, err := p.Arm(point, what, "")
		if err != nil {
			return false, err
		}
		for end := time.Now().Add(t.lasts); !trap.Snapped() && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		snapped, err := trap.Defuse()
		if err != nil || !snapped {
			return false, err
		}
		return true, errors.Join(trap.Killed(ctx), revive(ctx, p))
	case name == "broker":
		return true, away(ctx, system.Broker(), t.lasts)
	case t.target == "memory" && what == "flush":
		s.flush()
		return true, nil
	case t.target == "memory":
		s.withoutMemory(func() { time.Sleep(t.lasts) })
		return true, nil
	case p == nil || strings.HasSuffix(t.target, "line"):
		return true, s.causeElsewhere(t)
	case what == "pause":
		err := p.Pause()
		time.Sleep(t.lasts)
		return true, errors.Join(err, p.Resume())
	case what == "terminate":
		err := p.Terminate()
		time.Sleep(t.lasts)
		return true, errors.Join(err, revive(ctx, p))
	default:
		return true, away(ctx, p, t.lasts)
	}
}

func away(ctx context.Context, server stack.Server, lasts time.Duration) error {
	err := server.Kill()
	time.Sleep(lasts)
	return errors.Join(err, revive(ctx, server))
}

// revive starts a server, again if it ends at once, as services and sidecars do while what they need is away.
func revive(ctx context.Context, server stack.Server) error {
	for limit := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		err := server.Start(ctx)
		if err == nil || time.Now().After(limit) || ctx.Err() != nil {
			return err
		}
	}
}
