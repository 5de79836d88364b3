package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/platform/auth"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/ratelimit"
)

var few = LimitsConfig{PerCustomer: 5, FailuresPerSource: 20, RegistrationsPerSource: 10}

// try makes an attempt from source at the password of customer. It reports whether the limits let it through.
func (l *Limits) try(t *testing.T, source, owner string, outcome error) bool {
	t.Helper()
	tried := false
	err := l.Attempt(t.Context(), source, owner, func(context.Context) error { tried = true; return outcome })
	return letThrough(t, tried, err, outcome)
}

// letThrough checks that an attempt that was let through returned its outcome, and that a refused one got a Retry-After.
func letThrough(t *testing.T, tried bool, err, outcome error) bool {
	t.Helper()
	f := fault.From(err)
	switch {
	case tried && !errors.Is(err, outcome):
		t.Errorf("tried: %v, want %v", err, outcome)
	case !tried && (!errors.Is(err, errTooMany) || f.RetryAfter < time.Second || f.RetryAfter > time.Minute):
		t.Errorf("not tried: %v, come back in %s", err, f.RetryAfter)
	}
	return tried
}

// One source guesses at the passwords of many customers. Some of the CPFs are malformed.
func TestGuessesFromOneSourceAreStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits(few, nil)
		allowed := 0
		for n := range 25 {
			owner := fmt.Sprint("cpf ", n)
			if n%5 == 0 {
				owner = "" // malformed
			}
			if l.try(t, "bot", owner, customer.ErrWrongLogin) {
				allowed++
			}
		}
		if allowed != 20 {
			t.Errorf("%d of 25 guesses are let through", allowed)
		}
		if l.try(t, "bot", "cpf of its own", nil) {
			t.Error("a source that has failed too often is let in with a right password")
		}
		if !l.try(t, "home", "cpf 1", nil) {
			t.Error("another source is stopped")
		}
		time.Sleep(3 * time.Second)
		if !l.try(t, "bot", "cpf 1", customer.ErrWrongLogin) || l.try(t, "bot", "cpf 2", nil) {
			t.Error("after 3 s, want one more failure and no two")
		}
		time.Sleep(time.Hour)
		if !l.try(t, "bot", "cpf 1", nil) {
			t.Error("a failure is never forgotten")
		}
	})
}

// Many people behind one address log in, and some mistype their passwords now and then.
func TestOfficeBehindOneAddressWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits(few, nil)
		for n := range 500 {
			owner := fmt.Sprint("cpf ", n)
			if n%10 == 0 && !l.try(t, "office", owner, customer.ErrWrongLogin) {
				t.Fatalf("customer %d may not mistype", n)
			}
			if !l.try(t, "office", owner, nil) {
				t.Fatalf("customer %d is not let in", n)
			}
			time.Sleep(500 * time.Millisecond)
		}
	})
}

// An attacker who knows a CPF and has a thousand addresses does not lock its owner out. The attacker gets one guess for each
// address, and beyond that what one customer's limit admits.
func TestStrangersLockNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits(few, nil)
		guesses := 0
		for minute := range 10 {
			for n := range 1000 {
				for range 3 {
					if l.try(t, fmt.Sprint("bot ", n), "cpf", customer.ErrWrongLogin) {
						guesses++
					}
				}
				time.Sleep(time.Minute / 1000)
			}
			if !l.try(t, fmt.Sprint("home ", minute), "cpf", nil) {
				t.Errorf("minute %d: the owner is locked out", minute)
			}
		}
		if most := 1000 + 5 + 10*5; guesses > most {
			t.Errorf("%d guesses, want %d at most", guesses, most)
		}
		if !l.try(t, "home", "cpf", customer.ErrWrongLogin) {
			t.Error("the owner may not mistype")
		}
		l.try(t, "bot 0", "cpf", customer.ErrWrongLogin) // uses the last attempt of this minute
		if l.try(t, "home", "cpf", customer.ErrWrongLogin) {
			t.Error("a source that has failed is let through, though others have used the limit up")
		}
		if !l.try(t, "home", "another cpf", nil) {
			t.Error("the owner's address is locked out from other accounts")
		}
	})
}

// Right passwords are counted as well, for each customer and source: they cost a hash, too.
func TestAttemptsOfOneCustomer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits(few, nil)
		for n := range 7 {
			if l.try(t, "home", "cpf", nil) != (n < 5) {
				t.Errorf("attempt %d", n)
			}
		}
		if !l.try(t, "office", "cpf", nil) || !l.try(t, "home", "another cpf", nil) {
			t.Error("another source or another customer is refused")
		}
	})
}

func TestRegistrationsFromOneSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits(few, nil)
		register := func(source string, outcome error) bool {
			tried := false
			err := l.Registration(t.Context(), source, func(context.Context) error { tried = true; return outcome })
			return letThrough(t, tried, err, outcome)
		}
		for n := range 15 {
			outcome := map[bool]error{true: customer.ErrInvalidCPF}[n%2 == 0] // malformed ones count, too
			if register("bot", outcome) != (n < 10) {
				t.Errorf("registration %d", n)
			}
		}
		if !register("home", nil) {
			t.Error("another source is refused")
		}
		if !l.try(t, "bot", "cpf", nil) {
			t.Error("registrations count as failures")
		}
		time.Sleep(6 * time.Second)
		if !register("bot", nil) || register("bot", nil) {
			t.Error("after 6 s, want one more registration and no two")
		}
	})
}

// Visitors from a source that has failed, and visitors who register, wait in the second queue. The limits check a visitor
// once more when the turn has come.
func TestVisitors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits(few, nil)
		visitor := func(source string) (v customer.Visitor) {
			_ = l.Attempt(t.Context(), source, "", func(ctx context.Context) error { v = customer.VisitorOf(ctx); return nil })
			return v
		}
		waiting := visitor("office")
		if waiting.Source != "office" || visitor("2001:db8:1:2::/64").Network != "2001:db8:1::/48" || waiting.Later || waiting.Admit() != nil {
			t.Errorf("a source that has not failed: %+v", waiting)
		}
		l.try(t, "office", "cpf", customer.ErrWrongLogin)
		if !visitor("office").Later || visitor("home").Later {
			t.Error("want the source that has failed, and no other, to be served later")
		}
		for n := range 19 {
			if err := waiting.Admit(); err != nil {
				t.Errorf("after %d failures: %v", n+1, err)
			}
			l.try(t, "office", "", customer.ErrWrongPassword)
		}
		if err := waiting.Admit(); !errors.Is(err, errTooMany) {
			t.Errorf("after 20 failures, of somebody who has waited since before: %v", err)
		}
		time.Sleep(failureMemory)
		if visitor("office").Later {
			t.Error("the failures are never forgotten")
		}
		_ = l.Registration(t.Context(), "home", func(ctx context.Context) error {
			if v := customer.VisitorOf(ctx); !v.Later || v.Source != "home" {
				t.Errorf("a registration: %+v", v)
			}
			return nil
		})
	})
}

// Whatever the shared counter does, one process admits no more than the limit.
func TestSharedCounter(t *testing.T) {
	taken := 0
	for name, c := range map[string]struct {
		shared  Counter
		allowed int // of 20, at a limit of 5
	}{
		"none":                     {nil, 5},
		"away":                     {counter(func() (time.Duration, error) { return 0, errors.New("away") }), 5},
		"forgetful, as full Redis": {counter(func() (time.Duration, error) { return 0, nil }), 5},
		"refuses": {counter(func() (time.Duration, error) {
			if taken++; taken > 2 { // other replicas have used the remaining attempts
				return 7 * time.Second, nil
			}
			return 0, nil
		}), 2},
	} {
		l := newLimit("name", 5, time.Minute, c.shared)
		allowed := 0
		for range 20 {
			wait := l.take(t.Context(), "who")
			if wait == 0 {
				allowed++
			}
			if wait > time.Minute {
				t.Errorf("%s: wait for %s", name, wait)
			}
		}
		if allowed != c.allowed {
			t.Errorf("%s: %d are allowed, want %d", name, allowed, c.allowed)
		}
		if wait := l.take(t.Context(), "somebody else"); name != "refuses" && wait > 0 {
			t.Errorf("%s: somebody else waits for %s", name, wait)
		}
		if wait := l.peek(t.Context(), "who"); wait == 0 {
			t.Errorf("%s: peeking finds room", name)
		}
		if wait := l.peek(t.Context(), "nobody"); name != "refuses" && wait > 0 {
			t.Errorf("%s: nobody waits for %s", name, wait)
		}
	}
}

// counter stands for the shared counter, whose own tests are in rediscache.
type counter func() (wait time.Duration, err error)

func (c counter) Take(context.Context, string, int, time.Duration) (time.Duration, error) { return c() }
func (c counter) Peek(context.Context, string, int, time.Duration) (time.Duration, error) { return c() }

// The limits remember a bounded number of sources and CPFs: those that were seen last.
func TestMemoryOfLimitsIsBounded(t *testing.T) {
	l := NewLimits(few, nil)
	for n := range 2 * ratelimit.MaxNames {
		source, owner := fmt.Sprint("bot ", n), fmt.Sprint("cpf ", n)
		l.try(t, source, owner, customer.ErrWrongLogin)
		if err := l.Registration(t.Context(), source, func(context.Context) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []limit{l.attempts, l.customers, l.strangers, l.failures, l.failed, l.registrations} {
		if n := limit.local.Len(); n != ratelimit.MaxNames {
			t.Errorf("%s: %d names", limit.name, n)
		}
	}
	if last := fmt.Sprint("bot ", 2*ratelimit.MaxNames-1); l.failed.peek(t.Context(), last) == 0 {
		t.Error("the last failure is forgotten")
	}
}

func TestSource(t *testing.T) {
	const token = "the-app-api-token"
	for name, test := range map[string]struct {
		remote string
		header http.Header
		want   string
	}{
		"through the ingress":       {"127.0.0.1:40000", fromIngress(token, "203.0.113.7"), "203.0.113.7"},
		"by IPv6":                   {"127.0.0.1:40000", fromIngress(token, "2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64"},
		"its neighbour":             {"127.0.0.1:40000", fromIngress(token, "2001:db8:1:2:ffff::1"), "2001:db8:1:2::/64"},
		"IPv4 in IPv6":              {"127.0.0.1:40000", fromIngress(token, "::ffff:203.0.113.7"), "203.0.113.7"},
		"with a zone":               {"127.0.0.1:40000", fromIngress(token, "fe80::1%eth0"), "fe80::/64"},
		"no address":                {"127.0.0.1:40000", fromIngress(token, "home"), "127.0.0.1"},
		"with a port":               {"127.0.0.1:40000", fromIngress(token, "203.0.113.7:80"), "127.0.0.1"},
		"two addresses":             {"127.0.0.1:40000", fromIngress(token, "203.0.113.7", "203.0.113.8"), "127.0.0.1"},
		"none":                      {"127.0.0.1:40000", fromIngress(token), "127.0.0.1"},
		"to the service's own port": {"192.0.2.9:40000", http.Header{http.CanonicalHeaderKey(sourceHeader): {"203.0.113.7"}}, "192.0.2.9"},
		"there, claiming to come from the ingress": {"192.0.2.9:40000", fromIngress("", "203.0.113.7"), "192.0.2.9"},
		"there, with a wrong token":                {"[2001:db8::9]:40000", fromIngress("wrong", "203.0.113.7"), "2001:db8::/64"},
		"through another sidecar": {"127.0.0.1:40000", http.Header{
			http.CanonicalHeaderKey(sourceHeader): {"203.0.113.7"}, callerHeader: {"transfer-svc"}, "Dapr-Api-Token": {token},
		}, "127.0.0.1"},
		"there, claiming to be the ingress": {"127.0.0.1:40000", http.Header{
			http.CanonicalHeaderKey(sourceHeader): {"203.0.113.7"}, callerHeader: {"ingress", "transfer-svc"}, "Dapr-Api-Token": {token},
		}, "127.0.0.1"},
		"nowhere": {"", nil, "unknown"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr, r.Header = test.remote, test.header
		if got := (handlers{Deps{AppToken: token}}).source(r); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.RemoteAddr, r.Header = "127.0.0.1:40000", fromIngress("", "203.0.113.7")
	if got := (handlers{}).source(r); got != "127.0.0.1" {
		t.Errorf("without a token everybody may be the sidecar, and %s is believed", got)
	}
}

func TestWider(t *testing.T) {
	for source, want := range map[string]string{
		"2001:db8:1:2::/64": "2001:db8:1::/48", "2001:db8:1:ff00::/64": "2001:db8:1::/48", "2001:db8:2:2::/64": "2001:db8:2::/48",
		"203.0.113.7": "203.0.113.7", "unknown": "unknown",
	} {
		if got := wider(source); got != want {
			t.Errorf("%s: %s, want %s", source, got, want)
		}
	}
}

// fromIngress returns the headers of a request that the sidecar delivers from the ingress.
func fromIngress(token string, sources ...string) http.Header {
	return http.Header{http.CanonicalHeaderKey(sourceHeader): sources, callerHeader: {ingressAppID}, http.CanonicalHeaderKey(auth.AppTokenHeader): {token}}
}
