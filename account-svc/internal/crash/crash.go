// Package crash reaches crash points between the steps of account-svc: decorators of the domains' ports. Only a build with
// the tag crashpoints wraps anything.
package crash

import (
	"context"
	"slices"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/platform/crashpoint"
)

// Ledger reaches ledger.applied when commands are decided and committed, before their caller is answered.
func Ledger(inner ledger.Ledger) ledger.Ledger {
	if !crashpoint.Enabled {
		return inner
	}
	return crashingLedger{inner}
}

type crashingLedger struct{ ledger.Ledger }

func (l crashingLedger) Apply(ctx context.Context, commands []ledger.Command) ([]ledger.Result, error) {
	results, err := l.Ledger.Apply(ctx, commands)
	if slices.ContainsFunc(results, func(r ledger.Result) bool { return r.Err == nil }) {
		crashpoint.Reach("ledger", "applied")
	}
	return results, err
}

// Customers reaches customers.registered and customers.deactivated when that is committed, before the client is answered.
func Customers(inner customer.Store) customer.Store {
	if !crashpoint.Enabled {
		return inner
	}
	return crashingCustomers{inner}
}

type crashingCustomers struct{ customer.Store }

func (s crashingCustomers) Register(ctx context.Context, r customer.Registration) error {
	err := s.Store.Register(ctx, r)
	if err == nil {
		crashpoint.Reach("customers", "registered")
	}
	return err
}

func (s crashingCustomers) Deactivate(ctx context.Context, accountID string, at time.Time) error {
	err := s.Store.Deactivate(ctx, accountID, at)
	if err == nil {
		crashpoint.Reach("customers", "deactivated")
	}
	return err
}
