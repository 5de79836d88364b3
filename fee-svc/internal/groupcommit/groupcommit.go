// Package groupcommit lets what is written at the same time share a transaction, and what fails fail alone: a decorator of the
// stores.
package groupcommit

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/bankmore/bankmore/fee-svc/internal/fee"
	"github.com/bankmore/bankmore/platform/batch"
)

// Inner is the store that writes.
type Inner interface {
	fee.Store
	fee.Queue
}

// Store adds the fees of concurrent callers in one transaction. It settles all debtors of a round in one transaction. If one
// fee or debtor makes the transaction fail, Store writes the others without it.
type Store struct {
	Inner
	adds    *batch.Batcher[fee.Fee, bool]
	endings *batch.Batcher[ending, []fee.Settlement]
}

// Bounds of a transaction.
const (
	maxFees    = 1024
	maxDebtors = 256
	settling   = 5 * time.Second
)

// New returns a store in front of inner.
func New(inner Inner) *Store {
	s := &Store{Inner: inner}
	s.adds = batch.NewDivisible(inner.Add, func(f fee.Fee) string { return f.AccountNumber }, batch.Options{Name: "commit fees", MaxItems: maxFees})
	s.endings = batch.NewDivisible(s.settle, func(e ending) string { return e.accountNumber },
		batch.Options{Name: "commit settlements", MaxItems: maxDebtors, Timeout: settling})
	return s
}

// Close waits for what has been accepted.
func (s *Store) Close() {
	s.adds.Close()
	s.endings.Close()
}

// Add implements fee.Store.
func (s *Store) Add(ctx context.Context, fees []fee.Fee) ([]bool, error) {
	added, errs := s.adds.DoAll(ctx, fees)
	if errors.Join(errs...) != nil {
		return added, fee.Failures(errs)
	}
	return added, nil
}

// ending is what a round writes of one debtor.
type ending struct {
	accountNumber string
	settlements   []fee.Settlement
	releases      []fee.Release
}

// Settle implements fee.Queue.
func (s *Store) Settle(ctx context.Context, settlements []fee.Settlement, releases []fee.Release) ([]fee.Settlement, error) {
	effective, errs := s.endings.DoAll(ctx, byDebtor(settlements, releases))
	return slices.Concat(effective...), errors.Join(errs...)
}

// byDebtor returns one ending for each account.
func byDebtor(settlements []fee.Settlement, releases []fee.Release) (endings []ending) {
	places := make(map[string]int, len(releases))
	of := func(accountNumber string) *ending {
		i, ok := places[accountNumber]
		if !ok {
			i, places[accountNumber] = len(endings), len(endings)
			endings = append(endings, ending{accountNumber: accountNumber})
		}
		return &endings[i]
	}
	for _, r := range releases {
		e := of(r.AccountNumber)
		e.releases = append(e.releases, r)
	}
	for _, s := range settlements {
		e := of(s.AccountNumber)
		e.settlements = append(e.settlements, s)
	}
	return endings
}

// settle writes endings in one transaction. For each it returns the settlements that took effect.
func (s *Store) settle(ctx context.Context, endings []ending) ([][]fee.Settlement, error) {
	var settlements []fee.Settlement
	var releases []fee.Release
	for _, e := range endings {
		settlements, releases = append(settlements, e.settlements...), append(releases, e.releases...)
	}
	settled, err := s.Inner.Settle(ctx, settlements, releases)
	if err != nil {
		return nil, err
	}
	ids := make(map[string]bool, len(settled))
	for _, one := range settled {
		ids[one.ID] = true
	}
	effective := make([][]fee.Settlement, len(endings))
	for i, e := range endings {
		effective[i] = slices.DeleteFunc(slices.Clone(e.settlements), func(s fee.Settlement) bool { return !ids[s.ID] })
	}
	return effective, nil
}
