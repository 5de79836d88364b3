package ratelimit_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/go-chi/chi/v5"

	"github.com/bankmore/bankmore/platform/ratelimit"
	"github.com/bankmore/bankmore/platform/web"
)

type customerKey struct{}

// replica is a service with limits. Its customer is the value of the header "Customer".
type replica struct {
	*ratelimit.Customers
	router http.Handler
}

func start(t testing.TB, rules, redis string) replica {
	t.Helper()
	config := ratelimit.Config{RedisURL: redis, KeyPrefix: "test:"}
	if err := config.Rules.UnmarshalText([]byte(rules)); err != nil {
		t.Fatal(err)
	}
	customers, err := ratelimit.NewCustomers(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = customers.Close() })
	return serve(customers)
}

// serve returns a service with these limits.
func serve(customers *ratelimit.Customers) replica {
	router := web.NewRouter()
	router.Route("/api/x", func(r chi.Router) {
		r.Use(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), customerKey{}, r.Header.Get("Customer"))))
			})
		})
		r.Group(func(r chi.Router) {
			r.Use(customers.Middleware(func(ctx context.Context) string { return ctx.Value(customerKey{}).(string) }))
			ok := web.Handler(func(*http.Request) (web.Answer, error) { return web.NoContent(), nil })
			r.Method(http.MethodPost, "/", ok)
			r.Method(http.MethodGet, "/{id}", ok)
		})
	})
	return replica{customers, router}
}

func (s replica) ask(customer, method, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Customer", customer)
	w := httptest.NewRecorder()
	s.router.ServeHTTP(w, r)
	return w
}

// admitted counts how many of n requests are admitted.
func (s replica) admitted(customer, method, path string, n int) (count int) {
	for range n {
		if s.ask(customer, method, path).Code == http.StatusNoContent {
			count++
		}
	}
	return count
}

// A customer may send two seconds' worth at once, then as many as the rule says. Each customer counts alone, and so does each
// route, whatever id is in the path, and with or without a slash at its end.
func TestEachCustomerAndRouteHasALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, "*=10, POST /api/x=2", "")
		for _, test := range []struct {
			customer, method, path string
			want                   int
		}{
			{"ana", "GET", "/api/x/1", 20},
			{"ana", "GET", "/api/x/2", 0},
			{"ana", "HEAD", "/api/x/1", 0},
			{"ana", "POST", "/api/x", 4},
			{"ana", "POST", "/api/x/", 0},
			{"bia", "GET", "/api/x/1", 20},
			{"bia", "POST", "/api/x/", 4},
		} {
			if got := s.admitted(test.customer, test.method, test.path, 50); got != test.want {
				t.Errorf("%s %s of %s: %d admitted, want %d", test.method, test.path, test.customer, got, test.want)
			}
		}
		w := s.ask("ana", "GET", "/api/x/1")
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), `"type":"RATE_LIMITED"`) {
			t.Errorf("over the limit: %d %v %s", w.Code, w.Header(), w.Body)
		}
		time.Sleep(time.Second)
		if got := s.admitted("ana", "GET", "/api/x/1", 50); got != 10 {
			t.Errorf("a second later: %d admitted, want 10", got)
		}
	})
}

// Replicas with one Redis admit about as much together as one of them alone. Without Redis, and while it is away, each admits as
// much as its rule says.
func TestReplicasShareALimit(t *testing.T) {
	redis := miniredis.RunT(t)
	const perSecond, burst = 40, 80
	a, b := start(t, fmt.Sprintf("*=%d", perSecond), "redis://"+redis.Addr()), start(t, fmt.Sprintf("*=%d", perSecond), "redis://"+redis.Addr())
	share := func(replicas ...replica) (err error) {
		for _, s := range replicas {
			if _, problem := s.Share(t.Context()); problem != nil {
				err = problem
			}
		}
		return err
	}
	began := time.Now() // since then, the limit admits perSecond more each second
	if got := a.admitted("ana", "GET", "/api/x/1", burst); got != burst {
		t.Fatalf("%d admitted, want %d", got, burst)
	}
	if got := b.admitted("ana", "GET", "/api/x/1", perSecond/4); got != perSecond/4 { // as many as a replica tells of
		t.Fatalf("the other replica: %d admitted, want %d", got, perSecond/4)
	}
	if err := share(a, b); err != nil {
		t.Fatal(err)
	}
	if got, most := b.admitted("ana", "GET", "/api/x/1", burst), perSecond/4+perSecond*time.Since(began).Seconds(); float64(got) > most {
		t.Errorf("the other replica admits %d more, although the limit is used up; want %.0f at most", got, most)
	}
	if got := b.admitted("bia", "GET", "/api/x/1", burst+20); got < burst {
		t.Errorf("another customer: %d admitted, want %d", got, burst)
	}
	redis.Close()
	if err := share(a, b); err == nil {
		t.Error("without Redis nobody can share, and no error says so")
	}
	if got := b.admitted("caio", "GET", "/api/x/1", burst+20); got < burst || got > burst+20 {
		t.Errorf("without Redis: %d admitted, want %d", got, burst)
	}
}

// However many replicas there are, a customer who floods all of them gets from all together what the rule says, once the first two
// seconds' worth of each are used up. A replica that shares nothing admits that much by itself.
func TestManyReplicasAdmitWhatTheRuleSays(t *testing.T) {
	const perSecond, lasts = 20, 30 * time.Second
	rules := ratelimit.Rules{"*": perSecond}
	for _, test := range []struct {
		replicas int
		share    bool
		want     float64 // times the rule
	}{{1, true, 1}, {2, true, 1}, {3, true, 1}, {10, true, 1}, {10, false, 10}} {
		synctest.Test(t, func(t *testing.T) {
			told := map[string]int64{}
			add := func(_ context.Context, counts map[string]int64) (map[string]int64, error) {
				totals := map[string]int64{}
				for name, count := range counts {
					told[name] += count
					totals[name] = told[name]
				}
				return totals, nil
			}
			if !test.share {
				add = nil
			}
			replicas := make([]replica, test.replicas)
			for i := range replicas {
				replicas[i] = serve(ratelimit.NewShared(rules, add))
			}
			const tick = 50 * time.Millisecond
			second := int(time.Second / tick)
			admitted := 0
			for now := range int(2 * lasts / tick) {
				for i, s := range replicas {
					for s.ask("ana", "GET", "/api/x/1").Code == http.StatusNoContent {
						if now >= int(lasts/tick) {
							admitted++
						}
					}
					if now%second == i*second/len(replicas) {
						if _, err := s.Share(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
				}
				time.Sleep(tick)
			}
			if got := float64(admitted) / lasts.Seconds() / perSecond; got < test.want*0.9 || got > test.want*1.1 {
				t.Errorf("%d replicas, sharing %t: together they admit %.2f times what the rule says, want %.0f", test.replicas, test.share, got, test.want)
			}
		})
	}
}

// What Redis has forgotten, or never knew, does no harm: a total that is smaller than before, and a first total that is huge.
func TestTotalsThatMakeNoSense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		total := int64(1 << 62)
		s := serve(ratelimit.NewShared(ratelimit.Rules{"*": 10}, func(_ context.Context, counts map[string]int64) (map[string]int64, error) {
			for name := range counts {
				counts[name] = total
			}
			return counts, nil
		}))
		for _, step := range []struct {
			total int64
			wait  time.Duration // until everything is repaid
		}{{1 << 62, 4 * time.Second}, {5, 2 * time.Second}, {1 << 62, 32 * time.Second}, {-7, 2 * time.Second}} {
			total = step.total
			if got := s.admitted("ana", "GET", "/api/x/1", 50); got != 20 {
				t.Fatalf("%d admitted before the total %d", got, total)
			}
			if _, err := s.Share(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(step.wait)
		}
		if got := s.admitted("ana", "GET", "/api/x/1", 50); got != 20 {
			t.Errorf("%d admitted in the end", got)
		}
	})
}

// A replica tells of a bounded number of names at a time. A name for which there is no room is told of later, with all its requests.
func TestNoRequestIsForgotten(t *testing.T) {
	told := map[string]int64{}
	c := ratelimit.NewShared(ratelimit.Rules{"*": 4}, func(_ context.Context, counts map[string]int64) (map[string]int64, error) {
		told = counts
		return counts, nil
	})
	for i := range ratelimit.MaxNames {
		c.Admit("GET /x", fmt.Sprint("customer ", i))
	}
	for _, want := range []int64{0, 2} {
		c.Admit("GET /x", "ana")
		if _, err := c.Share(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := told["GET /x ana"]; got != want {
			t.Errorf("%d requests of Ana are told, want %d", got, want)
		}
	}
}

func TestRules(t *testing.T) {
	for text, want := range map[string]string{
		"*=50":                               "*=50",
		" POST /api/transfer=20,*=5":         "*=5,POST /api/transfer=20",
		"GET /api/transfer/{id}=1,*=1000000": "*=1000000,GET /api/transfer/{id}=1",
	} {
		var rules ratelimit.Rules
		if err := rules.UnmarshalText([]byte(text)); err != nil || rules.String() != want {
			t.Errorf("%q: %s, %v", text, rules, err)
		}
	}
	for text, problem := range map[string]string{
		"POST /api/transfer=5":             "no rule for *",
		"*=0":                              "want 1 to 1000000",
		"*=-1":                             "want 1 to 1000000",
		"*=many":                           "want 1 to 1000000",
		"*":                                "want 1 to 1000000",
		"*=5,*=6":                          "has two rules",
		"*=5,/api/transfer=6":              "neither * nor a route",
		"*=5,post /api/transfer=6":         "neither * nor a route",
		"*=5,POST /api/transfer/=6":        "neither * nor a route",
		"*=5,POST /api/transfer=x,PUT /y=": "neither * nor a route",
	} {
		if err := new(ratelimit.Rules).UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%q: %v, want %q", text, err, problem)
		}
	}
}

func BenchmarkAdmitted(b *testing.B) {
	redis := miniredis.RunT(b)
	for name, url := range map[string]string{"alone": "", "shared": "redis://" + redis.Addr()} {
		b.Run(name, func(b *testing.B) {
			s := start(b, "*=1000000", url)
			limited := s.Middleware(func(context.Context) string { return "019ab0f2-5a3e-7c41-9d3b-2f6f0c9e8a11" })(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r := httptest.NewRequest("GET", "/api/x/1", nil)
			route := chi.NewRouteContext()
			route.RoutePatterns = []string{"/api/x/*", "/{id}"}
			r = r.WithContext(context.WithValue(r.Context(), chi.RouteCtxKey, route))
			w := httptest.NewRecorder()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					limited.ServeHTTP(w, r)
				}
			})
		})
	}
}
