// Package ownercache remembers who owns an account: a decorator of the ledger's store.
package ownercache

import (
	"context"
	"maps"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
)

// remembered is how many names a process keeps, in about 3 MB.
const remembered = 16 << 10

// Store remembers the owners' names. A name never changes, and an account never gets another owner, so what is remembered
// stays true.
type Store struct {
	ledger.Store
	names *lru.Cache[string, string] // by account number
}

// New returns a store in front of inner.
func New(inner ledger.Store) *Store {
	names, err := lru.New[string, string](remembered)
	if err != nil {
		panic(err) // the size is positive
	}
	return &Store{Store: inner, names: names}
}

// Owners implements ledger.Store. It asks inner for the names that it does not remember.
func (s *Store) Owners(ctx context.Context, numbers []string) (map[string]string, error) {
	owners := make(map[string]string, len(numbers))
	var unknown []string
	for _, number := range numbers {
		if name, ok := s.names.Get(number); ok {
			owners[number] = name
		} else {
			unknown = append(unknown, number)
		}
	}
	if len(unknown) == 0 {
		return owners, nil
	}
	found, err := s.Store.Owners(ctx, unknown)
	if err != nil {
		return nil, err
	}
	for number, name := range found {
		s.names.Add(number, name)
	}
	maps.Copy(owners, found)
	return owners, nil
}
