// Package groupcommit lets the changes of concurrent drivers share a transaction, and so its fsync: a decorator of the store.
package groupcommit

import (
	"context"
	"slices"
	"time"

	"github.com/bankmore/bankmore/platform/batch"
	"github.com/bankmore/bankmore/platform/telemetry"
	"github.com/bankmore/bankmore/transfer-svc/internal/transfer"
)

// Store commits changes that arrive together in one transaction.
type Store struct {
	transfer.Store
	commits *batch.Batcher[change, outcome]
}

// New returns a store in front of inner. If one change makes the transaction fail, Store commits the others without it.
func New(inner transfer.Store) *Store {
	s := &Store{Store: inner}
	s.commits = batch.NewDivisible(s.commit, change.key, batch.Options{Name: "commit transfers"})
	return s
}

// Close waits for the changes already accepted.
func (s *Store) Close() { s.commits.Close() }

// Commit implements transfer.Store. If it fails, some of the changes may have taken effect.
func (s *Store) Commit(ctx context.Context, changes transfer.Changes) (done transfer.Committed, err error) {
	changes.Steps = slices.Clone(changes.Steps)
	for i := range changes.Steps { // each goes on with the trace of its own driver, although drivers share a transaction
		changes.Steps[i].TraceParent = telemetry.TraceParent(ctx)
	}
	all := split(changes)
	outcomes, errs := s.commits.DoAll(ctx, all)
	for _, err := range errs {
		if err != nil {
			return transfer.Committed{}, err
		}
	}
	for i, c := range all {
		switch {
		case c.create != nil:
			done.Created = append(done.Created, outcomes[i].transfer)
		case c.step != nil:
			done.Stepped = append(done.Stepped, outcomes[i].at)
		}
	}
	return done, nil
}

// change is what one driver wants to write. Exactly one field is set.
type change struct {
	create  *transfer.Transfer
	step    *transfer.Step
	release *transfer.Release
}

// key names the row that a change writes: by its UNIQUE key for a new transfer, else by the transfer's id.
func (c change) key() string {
	switch {
	case c.create != nil:
		return c.create.Origin.AccountID + " " + c.create.RequestID
	case c.step != nil:
		return c.step.After.ID
	default:
		return c.release.ID
	}
}

func split(changes transfer.Changes) []change {
	all := make([]change, 0, len(changes.Creates)+len(changes.Steps)+len(changes.Releases))
	for i := range changes.Creates {
		all = append(all, change{create: &changes.Creates[i]})
	}
	for i := range changes.Steps {
		all = append(all, change{step: &changes.Steps[i]})
	}
	for i := range changes.Releases {
		all = append(all, change{release: &changes.Releases[i]})
	}
	return all
}

// outcome is the result of a change.
type outcome struct {
	transfer transfer.Transfer // of a create: see transfer.Committed
	at       time.Time         // of a step: see transfer.Committed
}

// commit makes the changes of many drivers in one transaction.
func (s *Store) commit(ctx context.Context, changes []change) ([]outcome, error) {
	var all transfer.Changes
	for _, c := range changes {
		switch {
		case c.create != nil:
			all.Creates = append(all.Creates, *c.create)
		case c.step != nil:
			all.Steps = append(all.Steps, *c.step)
		default:
			all.Releases = append(all.Releases, *c.release)
		}
	}
	committed, err := s.Store.Commit(ctx, all)
	if err != nil {
		return nil, err
	}
	out := make([]outcome, len(changes))
	for i, c := range changes {
		switch {
		case c.create != nil:
			out[i].transfer, committed.Created = committed.Created[0], committed.Created[1:]
		case c.step != nil:
			out[i].at, committed.Stepped = committed.Stepped[0], committed.Stepped[1:]
		}
	}
	return out, nil
}
