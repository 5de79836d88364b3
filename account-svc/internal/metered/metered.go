// Package metered counts what the domains do: decorators of their ports.
package metered

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
)

var (
	hashes = promauto.NewCounter(prometheus.CounterOpts{
		Name: "bankmore_password_hashes_total", Help: "Passwords hashed, to store or to check them.",
	})
	movements = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "bankmore_ledger_movements_total", Help: "Movements added to the ledger, by kind and type (C, D).",
	}, []string{"kind", "type"})
	amounts = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "bankmore_ledger_amount_reais_total",
		Help: "Sum of the amounts of movements added to the ledger, by kind and type (C, D), as a float: for graphs, not for the books.",
	}, []string{"kind", "type"})
	refusals = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "bankmore_ledger_refusals_total", Help: "Commands that the ledger has refused, by kind.",
	}, []string{"kind"})
)

// init creates every series with the value 0.
func init() {
	for _, m := range []struct {
		kind ledger.Kind
		how  ledger.Type
	}{
		{ledger.Deposit, ledger.Credit},
		{ledger.Withdrawal, ledger.Debit},
		{ledger.Transfer, ledger.Debit},
		{ledger.Transfer, ledger.Credit},
		{ledger.Refund, ledger.Credit},
		{ledger.Fee, ledger.Debit},
	} {
		movements.WithLabelValues(string(m.kind), string(m.how))
		amounts.WithLabelValues(string(m.kind), string(m.how))
		refusals.WithLabelValues(string(m.kind))
	}
}

// Ledger counts what inner adds and refuses. It stands behind group commit, or it would miss a movement whose caller has left.
type Ledger struct{ ledger.Ledger }

// NewLedger returns a ledger in front of inner.
func NewLedger(inner ledger.Ledger) Ledger { return Ledger{inner} }

// Apply implements ledger.Ledger.
func (l Ledger) Apply(ctx context.Context, commands []ledger.Command) ([]ledger.Result, error) {
	results, err := l.Ledger.Apply(ctx, commands)
	for i, r := range results {
		count(commands[i], r)
		if r.Then != nil {
			count(*commands[i].Then, *r.Then)
		}
	}
	return results, err
}

// count counts a command that was decided now.
func count(c ledger.Command, r ledger.Result) {
	switch kind := string(c.Kind); {
	case r.Replayed || r.Err != nil:
	case r.Refusal != nil:
		refusals.WithLabelValues(kind).Inc()
	default:
		movements.WithLabelValues(kind, string(c.Type)).Inc()
		amounts.WithLabelValues(kind, string(c.Type)).Add(float64(c.Amount) / 100)
	}
}

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
