package chaos_test

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

// fault is a fault of the storm. It is made, and ended after a while.
type fault struct {
	target string
	what   string
	lasts  time.Duration
}

func (t fault) String() string { return fmt.Sprintf("%s: %s for %s", t.target, t.what, t.lasts) }

// step is the faults that happen at the same time, after a pause.
type step struct {
	pause  time.Duration
	faults []fault
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

// plan returns a function that draws the next step of the storm. The seed decides all of them.
func plan(seed uint64) func() step {
	random := rand.New(rand.NewPCG(seed, 0))
	between := func(least, most time.Duration) time.Duration {
		return (least + time.Duration(random.Int64N(int64(most-least)))).Round(time.Millisecond)
	}
	one := func() fault {
		id := stack.Services[random.IntN(len(stack.Services))]
		anyApp := append([]string{stack.Ingress}, stack.Services...)[random.IntN(len(stack.Services)+1)]
		switch n := random.IntN(10); {
		case n < 3:
			points := crashable[id]
			return fault{id, "kill at " + points[random.IntN(len(points))], between(time.Second, 3*time.Second)}
		case n < 4:
			return fault{id, "kill", between(0, 2*time.Second)}
		case n < 5:
			return fault{id, "terminate", between(0, time.Second)}
		case n < 6:
			return fault{id, "pause", between(100*time.Millisecond, 4*time.Second)}
		case n < 7:
			return fault{anyApp + " sidecar", []string{"kill", "pause"}[random.IntN(2)], between(100*time.Millisecond, 3*time.Second)}
		case n < 8:
			return fault{"broker", "kill", between(100*time.Millisecond, 3*time.Second)}
		case n < 9:
			return fault{"memory", []string{"flush", "gone"}[random.IntN(2)], between(0, 2*time.Second)}
		default:
			target, what := system.OwnFault(random, id)
			return fault{target, what, between(100*time.Millisecond, 3*time.Second)}
		}
	}
	return func() step {
		next := step{pause: between(0, 1500*time.Millisecond), faults: []fault{one()}}
		if second := one(); random.IntN(3) == 0 && together(next.faults[0], second) {
			next.faults = append(next.faults, second)
		}
		return next
	}
}

// together reports whether two faults may happen at once. They may if they concern different parts, and neither starts a sidecar while
// the other takes away the state store. Such a sidecar would go on without the store (components/production/statestore.yaml).
func together(one, other fault) bool {
	without := func(sidecar, store fault) bool {
		return (sidecar.target == "account-svc sidecar" || sidecar.target == "transfer-svc sidecar") && sidecar.what == "kill" &&
			store.target == "memory" && store.what == "gone"
	}
	return base(one) != base(other) && !without(one, other) && !without(other, one)
}

// base is the part of the system that a fault concerns.
func base(t fault) string {
	name, _, _ := strings.Cut(t.target, " ")
	return name
}

// storm makes faults of all kinds, often two at once, while customers work.
func storm(s *scenario) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	s.note("make chaos rows=storm storm=%s seed=%d has the same plan", *stormFlag, seed)
	s.begin(seed)
	s.flows("before the storm")
	draw := plan(seed)
	missed := 0
	for began := time.Now(); time.Since(began) < *stormFlag && !s.Failed(); {
		next := draw()
		time.Sleep(next.pause)
		s.Logf("%6.1f s: %s", time.Since(began).Seconds(), next.faults)
		var all sync.WaitGroup
		for _, t := range next.faults {
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

// cause makes a fault, waits, and ends it. It reports false if nobody has reached the crash point in time.
func (s *scenario) cause(t fault) (caused bool, err error) {
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
		armed, err := p.Arm(point, what, "")
		if err != nil {
			return false, err
		}
		for end := time.Now().Add(t.lasts); !armed.Hit() && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		hit, err := armed.Disarm()
		if err != nil || !hit {
			return false, err
		}
		return true, errors.Join(armed.Killed(ctx), startAgain(ctx, p))
	case name == "broker":
		return true, outage(ctx, system.Broker(), t.lasts)
	case t.target == "memory" && what == "flush":
		return true, system.ForgetState(ctx)
	case t.target == "memory":
		return true, system.WithoutState(ctx, func() { time.Sleep(t.lasts) })
	case what == "refuse writes":
		return true, system.WithoutWrites(ctx, func() { time.Sleep(t.lasts) })
	case strings.HasSuffix(t.target, "line"):
		return true, cutLine(ctx, system.Apps[name].Line, what, t.lasts)
	case p == nil:
		return true, outage(ctx, system.Servers()[name], t.lasts)
	case what == "pause":
		err := p.Pause()
		time.Sleep(t.lasts)
		return true, errors.Join(err, p.Resume())
	case what == "terminate":
		err := p.Terminate()
		time.Sleep(t.lasts)
		return true, errors.Join(err, startAgain(ctx, p))
	default:
		return true, outage(ctx, p, t.lasts)
	}
}

// cutLine makes a fault of the line between a service and its database's server.
func cutLine(ctx context.Context, line *stack.Line, what string, lasts time.Duration) error {
	switch what {
	case "cut":
		return line.Cut(ctx)
	case "lose answers":
		err := line.LoseAnswers()
		time.Sleep(lasts)
		return errors.Join(err, line.Start(ctx))
	default:
		return outage(ctx, line, lasts)
	}
}

func outage(ctx context.Context, server stack.Server, lasts time.Duration) error {
	err := server.Kill()
	time.Sleep(lasts)
	return errors.Join(err, startAgain(ctx, server))
}

// startAgain starts a server. It repeats the start if the server ends at once, as services and sidecars do while something that
// they need is down.
func startAgain(ctx context.Context, server stack.Server) error {
	for limit := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		err := server.Start(ctx)
		if err == nil || time.Now().After(limit) || ctx.Err() != nil {
			return err
		}
	}
}
