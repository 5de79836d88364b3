package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/ratelimit"
	"github.com/bankmore/bankmore/platform/web"
)

// LimitsConfig bounds the guessing of passwords, and the hashing that strangers can cause. Each limit is a token bucket:
// within one minute it admits up to twice its number, once the tokens saved up and once those of that minute.
type LimitsConfig struct {
	// PerCustomer bounds the attempts at one customer's password per minute. It counts per source, and over all sources; the
	// second count refuses only sources that have failed at that password.
	PerCustomer int `env:"LOGIN_RATE_LIMIT" envDefault:"10"`
	// FailuresPerSource bounds the failed attempts per minute from one source, at all passwords together.
	FailuresPerSource int `env:"LOGIN_FAILURE_LIMIT" envDefault:"20"`
	// RegistrationsPerSource bounds the registrations per minute from one source, successful or not.
	RegistrationsPerSource int `env:"REGISTRATION_RATE_LIMIT" envDefault:"20"`
}

// Validate returns an error for each value out of range.
func (c LimitsConfig) Validate() error {
	var problems []error
	for name, limit := range map[string]int{
		"LOGIN_RATE_LIMIT": c.PerCustomer, "LOGIN_FAILURE_LIMIT": c.FailuresPerSource, "REGISTRATION_RATE_LIMIT": c.RegistrationsPerSource,
	} {
		if limit < 1 {
			problems = append(problems, fmt.Errorf("%s is less than 1: nobody could get in", name))
		}
	}
	return errors.Join(problems...)
}

// failureMemory is how long a source counts as one that has failed.
const failureMemory = 15 * time.Minute

// errTooMany is the answer to an attempt over a limit.
var errTooMany = fault.New(fault.RateLimited, fault.TypeRateLimited, "Muitas tentativas. Tente novamente mais tarde.")

var refused = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "bankmore_attempts_refused_total", Help: "Logins, closings, registrations and files of the documentation refused by a limit: customer, source, registration, documents.",
}, []string{"limit"})

func init() {
	for _, limit := range []string{"customer", "source", "registration", "documents"} {
		refused.WithLabelValues(limit)
	}
}

// Counter counts for all replicas together. It admits each name count times at once, and then once every per/count.
type Counter interface {
	// Take counts name once. It returns 0 if the limit admits that, and otherwise how long to wait.
	Take(ctx context.Context, name string, count int, per time.Duration) (wait time.Duration, err error)
	// Peek is Take without counting.
	Peek(ctx context.Context, name string, count int, per time.Duration) (wait time.Duration, err error)
}

// Limits counts what strangers try. See docs/adr/0017.
type Limits struct {
	attempts      limit // at a customer's password, by customer and source
	customers     limit // the same over all sources, by customer
	strangers     limit // remembers that a source has failed at a customer's password
	failures      limit // failed attempts, by source
	failed        limit // remembers that a source has failed
	registrations limit // by source
	documents     limit // the files of the documentation, by source
}

// A source may fetch documentFiles files at once, which is several loads of the page, and as many again in each documentTime. Anybody
// may fetch them, and a file of 0.5 MB takes as much as tens of refusals.
const (
	documentFiles = 40
	documentTime  = 10 * time.Second
)

// NewLimits returns limits that have counted nothing. This process counts, and so does the shared counter, which may be nil.
// Either refuses: the shared counter may fail, or lose its counts.
func NewLimits(config LimitsConfig, shared Counter) *Limits {
	return &Limits{
		attempts:      newLimit("attempts", config.PerCustomer, time.Minute, shared),
		customers:     newLimit("customers", config.PerCustomer, time.Minute, shared),
		strangers:     newLimit("strangers", 1, failureMemory, shared),
		failures:      newLimit("failures", config.FailuresPerSource, time.Minute, shared),
		failed:        newLimit("failed", 1, failureMemory, nil), // each replica has a queue of its own
		registrations: newLimit("registrations", config.RegistrationsPerSource, time.Minute, shared),
		documents:     newLimit("documents", documentFiles, documentTime, nil),
	}
}

// Attempt runs try, an attempt from source at the password of owner, or fails with errTooMany. owner is "" if there
// is none. A failure counts against the source. The attempts of other sources never refuse a source that has not failed at
// this owner's password.
func (l *Limits) Attempt(ctx context.Context, source, owner string, try func(ctx context.Context) error) error {
	if wait := l.failures.peek(ctx, source); wait > 0 {
		return refuse(ctx, "source", source, wait)
	}
	here := owner + " from " + source
	if owner != "" {
		if wait := l.attempts.take(ctx, here); wait > 0 {
			return refuse(ctx, "customer", source, wait)
		}
		if wait := l.customers.take(ctx, owner); wait > 0 && l.strangers.peek(ctx, here) > 0 {
			return refuse(ctx, "customer", source, wait)
		}
	}
	err := try(customer.WithVisitor(ctx, customer.Visitor{
		Source: source, Network: wider(source),
		Later: customer.VisitorOf(ctx).Later || l.failed.peek(ctx, source) > 0,
		Admit: func() error { // others from this source may have failed while this one waited
			if wait := l.failures.local.Peek(source, l.failures.rate()); wait > 0 {
				return refuse(ctx, "source", source, wait)
			}
			return nil
		},
	}))
	if errors.Is(err, customer.ErrWrongLogin) || errors.Is(err, customer.ErrWrongPassword) || errors.Is(err, customer.ErrCPFTaken) {
		ctx := context.WithoutCancel(ctx) // the failure counts even if the client did not wait for the answer
		l.failures.take(ctx, source)
		l.failed.take(ctx, source)
		if owner != "" {
			l.strangers.take(ctx, here)
		}
	}
	return err
}

// Registration runs try, a registration from source, or fails with errTooMany.
func (l *Limits) Registration(ctx context.Context, source string, try func(ctx context.Context) error) error {
	if wait := l.registrations.take(ctx, source); wait > 0 {
		return refuse(ctx, "registration", source, wait)
	}
	return try(customer.WithVisitor(ctx, customer.Visitor{Source: source, Network: wider(source), Later: true}))
}

// limitDocuments refuses a file of the documentation to a source that fetches too many.
func (h handlers) limitDocuments(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		source := h.source(r)
		if wait := h.Limits.documents.take(r.Context(), source); wait > 0 {
			web.WriteError(w, r, refuse(r.Context(), "documents", source, wait))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func refuse(ctx context.Context, limit, source string, wait time.Duration) error {
	slog.InfoContext(ctx, "attempt refused", "limit", limit, "source", source)
	refused.WithLabelValues(limit).Inc()
	return errTooMany.After(max(time.Second, wait))
}

// limit is one of the limits. This process counts, and so does the shared counter, if there is one.
type limit struct {
	name   string
	count  int
	per    time.Duration
	local  *ratelimit.Buckets
	shared Counter
}

func newLimit(name string, count int, per time.Duration, shared Counter) limit {
	return limit{name: name, count: count, per: per, local: ratelimit.NewBuckets(), shared: shared}
}

func (l limit) rate() ratelimit.Rate {
	return ratelimit.Rate{Burst: l.count, Every: l.per / time.Duration(l.count)}
}

// take counts who once. It returns 0 if the limit admits that, and otherwise how long to wait.
func (l limit) take(ctx context.Context, who string) time.Duration {
	if wait := l.local.Take(who, l.rate()); wait > 0 || l.shared == nil {
		return wait
	}
	wait, _ := l.shared.Take(ctx, l.name+" "+who, l.count, l.per) // after an error, the count of this process decides
	return wait
}

// peek is take without counting.
func (l limit) peek(ctx context.Context, who string) time.Duration {
	if wait := l.local.Peek(who, l.rate()); wait > 0 || l.shared == nil {
		return wait
	}
	wait, _ := l.shared.Peek(ctx, l.name+" "+who, l.count, l.per)
	return wait
}
