// Package ratelimit bounds how often somebody may do something. It keeps token buckets, and the limits of customers by route.
package ratelimit

import (
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// Rate is what a bucket admits: Burst at once, and then one more every Every.
type Rate struct {
	Burst int
	Every time.Duration
}

// MaxNames bounds the names that Buckets counts. Beyond that, it forgets the name that was seen least recently. A name takes
// about 300 bytes.
const MaxNames = 1 << 15

// Buckets counts in this process, with a token bucket for each name.
type Buckets struct {
	names *lru.Cache[string, *bucket]
}

type bucket struct {
	limiter *rate.Limiter
	untold  atomic.Int64 // admitted here since other replicas were told

	told int64 // by all replicas, when Customers.Share last asked; 0: it has not asked yet
}

// NewBuckets returns buckets that have counted nothing.
func NewBuckets() *Buckets {
	names, err := lru.New[string, *bucket](MaxNames)
	if err != nil {
		panic(err) // MaxNames is positive
	}
	return &Buckets{names: names}
}

// Len returns how many names have a bucket.
func (b *Buckets) Len() int { return b.names.Len() }

// Take counts name once. It returns 0 if r admits that, and otherwise how long to wait.
func (b *Buckets) Take(name string, r Rate) (wait time.Duration) {
	_, wait = b.take(name, r)
	return wait
}

func (b *Buckets) take(name string, r Rate) (*bucket, time.Duration) {
	found, ok := b.names.Get(name)
	if !ok {
		found = &bucket{limiter: rate.NewLimiter(rate.Every(r.Every), r.Burst)}
		if earlier, ok, _ := b.names.PeekOrAdd(name, found); ok {
			found = earlier
		}
	}
	if found.limiter.Allow() {
		return found, 0
	}
	return found, found.wait(r)
}

// Peek is Take without counting.
func (b *Buckets) Peek(name string, r Rate) (wait time.Duration) {
	if found, ok := b.names.Get(name); ok && found.limiter.Tokens() < 1 {
		return found.wait(r)
	}
	return 0
}

// wait is how long it takes until the bucket admits one more, and above 0 in any case.
func (b *bucket) wait(r Rate) time.Duration {
	return max(1, time.Duration((1-b.limiter.Tokens())*float64(r.Every)))
}
