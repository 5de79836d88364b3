package sidecar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	dapr "github.com/dapr/go-sdk/client"

	"github.com/bankmore/bankmore/platform/dependency"
)

// StateStore is one Dapr state store component.
type StateStore struct {
	client *Client
	name   string
}

// StateStore returns the store of that component name.
func (c *Client) StateStore(name string) *StateStore { return &StateStore{client: c, name: name} }

// StateItem is a value under a key. The store deletes it after TTL, counted in whole seconds.
type StateItem struct {
	Key   string
	Value []byte
	TTL   time.Duration
}

// bulkParallelism is how many keys daprd reads at a time where a store has no bulk read of its own.
const bulkParallelism = 32

// Get returns the values of those keys that exist, in one call.
func (s *StateStore) Get(ctx context.Context, keys []string) (values map[string][]byte, err error) {
	start := time.Now()
	defer func() { dependency.Observe(dependency.StateStore, "get", start, err) }()
	items, err := s.client.sdk.GetBulkState(ctx, s.name, keys, nil, bulkParallelism)
	if err != nil {
		return nil, err
	}
	values = make(map[string][]byte, len(items))
	for _, item := range items {
		if item.Error != "" {
			return nil, fmt.Errorf("state %s: %w", s.name, errors.New(item.Error))
		}
		if len(item.Value) > 0 {
			values[item.Key] = item.Value
		}
	}
	return values, nil
}

// Save writes items in one transaction of the store, each replacing what its key held. Keys must not repeat. Without the
// transaction, daprd 1.18 writes each key by itself, and to Redis in two round trips. All replicas write in the order of the keys,
// so that they do not deadlock in a store that locks rows.
func (s *StateStore) Save(ctx context.Context, items []StateItem) error {
	items = slices.SortedFunc(slices.Values(items), func(a, b StateItem) int { return strings.Compare(a.Key, b.Key) })
	operations := make([]*dapr.StateOperation, len(items))
	for i, item := range items {
		operations[i] = &dapr.StateOperation{Type: dapr.StateOperationTypeUpsert, Item: &dapr.SetStateItem{
			Key:      item.Key,
			Value:    item.Value,
			Metadata: map[string]string{"ttlInSeconds": strconv.Itoa(int(item.TTL.Seconds()))},
			Options:  &dapr.StateOptions{Concurrency: dapr.StateConcurrencyLastWrite, Consistency: dapr.StateConsistencyStrong},
		}}
	}
	start := time.Now()
	err := s.client.sdk.ExecuteStateTransaction(ctx, s.name, nil, operations)
	dependency.Observe(dependency.StateStore, "save", start, err)
	return err
}
