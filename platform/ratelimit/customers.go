package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/redis/go-redis/v9"

	"github.com/bankmore/bankmore/platform/dependency"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/web"
)

// Config is what the environment decides. All services read the same variables.
type Config struct {
	Rules     Rules  `env:"CUSTOMER_RATE_LIMITS" envDefault:"*=50"`
	RedisURL  string `env:"REDIS_URL"` // redis:// or rediss://; without it, each replica counts alone
	KeyPrefix string `env:"REDIS_KEY_PREFIX" envDefault:"bankmore:"`
}

// Rules are requests per second of one customer, by route: a method and a pattern, such as "GET /api/transfer/{id}". The rule
// for "*" holds for each route that has none of its own.
type Rules map[string]int

// UnmarshalText reads "*=50,POST /api/transfer=20".
func (r *Rules) UnmarshalText(text []byte) error {
	rules := Rules{}
	var problems []error
	for rule := range strings.SplitSeq(string(text), ",") {
		route, count, _ := strings.Cut(rule, "=")
		route = strings.TrimSpace(route)
		method, path, _ := strings.Cut(route, " ")
		perSecond, err := strconv.Atoi(strings.TrimSpace(count))
		switch {
		case route != "*" && (strings.ToUpper(method) != method || !strings.HasPrefix(path, "/api/") || strings.HasSuffix(path, "/")):
			problems = append(problems, fmt.Errorf(`%q is neither * nor a route such as "POST /api/transfer"`, route))
		case err != nil || perSecond < 1 || perSecond > 1_000_000:
			problems = append(problems, fmt.Errorf("%q: want 1 to 1000000 requests per second", rule))
		case rules[route] != 0:
			problems = append(problems, fmt.Errorf("%q has two rules", route))
		}
		rules[route] = perSecond
	}
	if rules["*"] == 0 {
		problems = append(problems, errors.New("no rule for *"))
	}
	*r = rules
	return errors.Join(problems...)
}

// String is what UnmarshalText reads.
func (r Rules) String() string {
	var all []string
	for _, route := range slices.Sorted(maps.Keys(r)) {
		all = append(all, fmt.Sprintf("%s=%d", route, r[route]))
	}
	return strings.Join(all, ",")
}

// seconds is how many seconds' worth of requests a customer may send at once.
const seconds = 2

// of is the rate of a route.
func (r Rules) of(route string) Rate {
	perSecond, ok := r[route]
	if !ok {
		perSecond = r["*"]
	}
	return Rate{Burst: seconds * perSecond, Every: time.Second / time.Duration(perSecond)}
}

var errTooMany = fault.New(fault.RateLimited, fault.TypeRateLimited, "Muitas requisições. Tente novamente mais tarde.")

var refused = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "bankmore_requests_over_limit_total", Help: "Requests that were answered 429, since the customer has sent too many to this route.",
}, []string{"route"})

// Customers bounds the requests of each customer to each route. This process decides at once, by what it has counted. With
// Redis, replicas tell each other in the background what they have admitted. See docs/adr/0051.
type Customers struct {
	rules   Rules
	buckets *Buckets
	shared  *redis.Client                                                                           // nil: there is none
	prefix  string                                                                                  // of keys
	add     func(ctx context.Context, counts map[string]int64) (totals map[string]int64, err error) // nil: replicas share nothing

	mu      sync.Mutex
	waiting map[string]*bucket // what to tell other replicas, by name
}

// NewLocal returns limits of this process alone.
func NewLocal(rules Rules) *Customers {
	return &Customers{rules: rules, buckets: NewBuckets(), waiting: map[string]*bucket{}}
}

// NewCustomers returns limits that have counted nothing. It does not wait for Redis to answer. Close ends them.
func NewCustomers(config Config) (*Customers, error) {
	c := NewLocal(config.Rules)
	if config.RedisURL == "" {
		return c, nil
	}
	options, err := redis.ParseURL(config.RedisURL)
	if err != nil {
		return nil, errors.New("REDIS_URL: not a redis:// or rediss:// URL") // the cause would repeat the password
	}
	options.PoolSize = 1 // Share is the only caller
	options.MaxRetries = -1
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout = ShareInterval, ShareInterval, ShareInterval
	options.Protocol = 2
	c.shared, c.prefix = redis.NewClient(options), config.KeyPrefix+"requests:"
	c.add = c.addInRedis
	c.shared.AddHook(dependency.RedisHook{})
	return c, nil
}

// Close closes the connection to Redis.
func (c *Customers) Close() error {
	if c.shared == nil {
		return nil
	}
	return c.shared.Close()
}

// Middleware refuses requests over the limit of their route. customer says who sends a request. The middleware has to stand
// where chi knows the route: in a Group.
func (c *Customers) Middleware(customer func(ctx context.Context) string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			method := r.Method
			if method == http.MethodHead { // answered by the handler of GET, and as dear
				method = http.MethodGet
			}
			route := method + " " + chi.RouteContext(r.Context()).RoutePattern()
			if wait := c.admit(route, customer(r.Context())); wait > 0 {
				refused.WithLabelValues(route).Inc()
				web.WriteError(w, r, errTooMany.After(max(time.Second, wait)))
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// admit counts a request. It returns 0 if the limit admits it, and otherwise how long to wait.
func (c *Customers) admit(route, customer string) (wait time.Duration) {
	rate := c.rules.of(route)
	name := route + " " + customer
	bucket, wait := c.buckets.take(name, rate)
	if wait > 0 || c.add == nil {
		return wait
	}
	// A replica tells of a quarter of a second's worth, not of each request. If there is no room now, it tries again after as many.
	if bucket.untold.Add(1)%int64(max(1, rate.Burst/seconds/4)) == 0 {
		c.mu.Lock()
		if len(c.waiting) < MaxNames {
			c.waiting[name] = bucket
		}
		c.mu.Unlock()
	}
	return 0
}

// ShareInterval is how often Share is called.
const ShareInterval = time.Second

// memory is how long Redis keeps what replicas have told of a name, after the last of them.
const memory = time.Minute

// debt is how long a bucket may have to fill up, at most, until it admits a request again.
const debt = 30 * time.Second

// Share is a worker's round: it tells other replicas what this one has admitted, and takes what they have admitted out of
// this one's buckets. If it fails, this replica goes on with its own counts, and what it would have told is lost.
func (c *Customers) Share(ctx context.Context) (more bool, err error) {
	if c.add == nil {
		return false, nil
	}
	c.mu.Lock()
	waiting := c.waiting
	c.waiting = map[string]*bucket{}
	c.mu.Unlock()
	if len(waiting) == 0 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, ShareInterval)
	defer cancel()
	mine := make(map[string]int64, len(waiting))
	for name, bucket := range waiting {
		mine[name] = bucket.untold.Swap(0)
	}
	totals, err := c.add(ctx, mine)
	if err != nil {
		return false, fmt.Errorf("sharing counts of requests: %w", err)
	}
	for name, bucket := range waiting {
		bucket.learn(totals[name], mine[name])
	}
	return false, nil
}

// addInRedis adds counts, by name, to what all replicas have told, and returns the sums.
func (c *Customers) addInRedis(ctx context.Context, counts map[string]int64) (map[string]int64, error) {
	sums := make(map[string]*redis.IntCmd, len(counts))
	_, err := c.shared.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for name, count := range counts {
			sums[name] = pipe.IncrBy(ctx, c.prefix+name, count)
			pipe.PExpire(ctx, c.prefix+name, memory)
		}
		return nil
	})
	totals := make(map[string]int64, len(sums))
	for name, sum := range sums {
		totals[name] = sum.Val()
	}
	return totals, err
}

// learn takes out of the bucket what other replicas have told since the last call. total is what all replicas have told; of that,
// this one has just told mine. At the first call the bucket does not know when the others began to count: then it owes at most what
// it holds when it is full.
func (b *bucket) learn(total, mine int64) {
	limit := int64(debt.Seconds() * float64(b.limiter.Limit()))
	if b.told == 0 {
		limit = int64(b.limiter.Burst())
	}
	if total < b.told { // Redis has forgotten the name meanwhile
		b.told = 0
	}
	others := min(total-b.told-mine, int64(b.limiter.Tokens())+limit)
	b.told = total
	for burst := int64(b.limiter.Burst()); others > 0; others -= burst { // the limiter takes no more at once
		b.limiter.ReserveN(time.Now(), int(min(others, burst)))
	}
}
