// Package crash reaches crash points between the steps of a transfer: decorators of the domain's ports. Only a build with the
// tag crashpoints wraps anything.
package crash

import (
	"context"
	"slices"

	"github.com/bankmore/bankmore/account-svc/accountapi"
	"github.com/bankmore/bankmore/platform/crashpoint"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// Ledger reaches answered.<STATE> when the ledger has answered the leg of that state, before the answer is recorded. In PENDING
// that is the debit, with the credit that came with it. While a point of DEBITED is armed for the caller, Ledger sends the debit
// without the credit, so that the transfer comes to that point, as it does when the ledger leaves the credit out.
func Ledger(inner transfer.Ledger) transfer.Ledger {
	if !crashpoint.Enabled {
		return inner
	}
	return crashingLedger{inner}
}

type crashingLedger struct{ transfer.Ledger }

func (l crashingLedger) Move(ctx context.Context, m accountapi.Movement) (accountapi.Outcome, error) {
	if crashpoint.Armed("recorded", string(transfer.Debited)) || crashpoint.Armed("answered", string(transfer.Debited)) {
		m.Then = nil
	}
	outcome, err := l.Ledger.Move(ctx, m)
	if err == nil {
		crashpoint.Reach("answered", string(sender(m)))
	}
	return outcome, err
}

// sender returns the state in which a transfer sends that leg.
func sender(m accountapi.Movement) transfer.State {
	i := slices.IndexFunc(transfer.Unfinished, func(s transfer.State) bool { return s.Leg() == transfer.LegOf(m) })
	return transfer.Unfinished[i]
}

// Store reaches recorded.<STATE> when a transfer's state is committed, before its driver tries the next step.
func Store(inner transfer.Store) transfer.Store {
	if !crashpoint.Enabled {
		return inner
	}
	return crashingStore{inner}
}

type crashingStore struct{ transfer.Store }

func (s crashingStore) Commit(ctx context.Context, changes transfer.Changes) (transfer.Committed, error) {
	done, err := s.Store.Commit(ctx, changes)
	if err != nil {
		return done, err
	}
	for i, t := range changes.Creates {
		if done.Created[i].ID == t.ID {
			crashpoint.Reach("recorded", string(t.State))
		}
	}
	for i, step := range changes.Steps {
		if !done.Stepped[i].IsZero() {
			crashpoint.Reach("recorded", string(step.After.State))
		}
	}
	return done, nil
}
