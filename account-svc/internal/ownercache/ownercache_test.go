package ownercache_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/bankmore/bankmore/account-svc/internal/ledger"
	"github.com/bankmore/bankmore/account-svc/internal/ownercache"
)

// inner has the owners of some accounts, and notes for which it was asked.
type inner struct {
	ledger.Store
	owners map[string]string
	err    error
	asked  [][]string
}

func (s *inner) Owners(_ context.Context, numbers []string) (map[string]string, error) {
	s.asked = append(s.asked, numbers)
	found := map[string]string{}
	for _, number := range numbers {
		if name, ok := s.owners[number]; ok {
			found[number] = name
		}
	}
	return found, s.err
}

// The store asks only for names that it does not know, and does not remember that an account was unknown or that it failed.
func TestOwners(t *testing.T) {
	behind := &inner{owners: map[string]string{"1": "Ana", "2": "Bia"}}
	store := ownercache.New(behind)
	want := func(numbers []string, names map[string]string, asked ...[]string) {
		t.Helper()
		behind.asked = nil
		got, err := store.Owners(t.Context(), numbers)
		if err != nil || !maps.Equal(got, names) || !slices.EqualFunc(behind.asked, asked, slices.Equal) {
			t.Errorf("%v: %v, %v, and asked for %v", numbers, got, err, behind.asked)
		}
	}
	behind.err = errors.New("away")
	if got, err := store.Owners(t.Context(), []string{"1"}); !errors.Is(err, behind.err) {
		t.Errorf("%v, %v", got, err)
	}
	behind.err = nil
	want([]string{"1", "3"}, map[string]string{"1": "Ana"}, []string{"1", "3"})
	want([]string{"1", "2", "3"}, map[string]string{"1": "Ana", "2": "Bia"}, []string{"2", "3"})
	want([]string{"2", "1"}, map[string]string{"1": "Ana", "2": "Bia"})
	behind.owners["3"] = "Caio"
	want([]string{"3"}, map[string]string{"3": "Caio"}, []string{"3"})
}
