// Package crash reaches crash points between the steps of fee-svc: decorators of the domain's ports. Only a build with the tag
// crashpoints wraps anything.
package crash

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/platform/crashpoint"
)

// Store reaches fees.recorded when fees are committed, before their events are acknowledged.
func Store(inner fee.Store) fee.Store {
	if !crashpoint.Enabled {
		return inner
	}
	return crashingStore{inner}
}

type crashingStore struct{ fee.Store }

func (s crashingStore) Add(ctx context.Context, fees []fee.Fee) ([]bool, error) {
	added, err := s.Store.Add(ctx, fees)
	var some fee.Failures
	if err == nil || errors.As(err, &some) && slices.Contains(some, nil) {
		crashpoint.Reach("fees", "recorded")
	}
	return added, err
}

// Queue reaches fees.claimed when debtors are claimed, before the ledger is asked about them.
func Queue(inner fee.Queue) fee.Queue {
	if !crashpoint.Enabled {
		return inner
	}
	return crashingQueue{inner}
}

type crashingQueue struct{ fee.Queue }

func (q crashingQueue) Claim(ctx context.Context, lease time.Duration, limit int) ([]fee.Debtor, error) {
	debtors, err := q.Queue.Claim(ctx, lease, limit)
	if len(debtors) > 0 {
		crashpoint.Reach("fees", "claimed")
	}
	return debtors, err
}

// Ledger reaches fees.answered when a debit has its answer, or none in time, before the collector settles anything.
func Ledger(inner fee.Ledger) fee.Ledger {
	if !crashpoint.Enabled {
		return inner
	}
	return crashingLedger{inner}
}

type crashingLedger struct{ fee.Ledger }

func (l crashingLedger) Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error) {
	outcome, err := l.Ledger.Move(ctx, m)
	crashpoint.Reach("fees", "answered")
	return outcome, err
}
