// Package metered counts what the domains do: decorators of their ports.
package metered

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
)

var hashes = promauto.NewCounter(prometheus.CounterOpts{
	Name: "password_hashes_total", Help: "Passwords hashed, to store or to check them.",
})

// Hasher counts the passwords that it has inner hash.
type Hasher struct{ inner customer.Hasher }

// NewHasher returns a Hasher in front of inner.
func NewHasher(inner customer.Hasher) Hasher { return Hasher{inner} }

// Hash implements customer.Hasher.
func (h Hasher) Hash(password string) (string, error) {
	hashes.Inc()
	return h.inner.Hash(password)
}

// Matches implements customer.Hasher.
func (h Hasher) Matches(password, hash string) (bool, error) {
	hashes.Inc()
	return h.inner.Matches(password, hash)
}
