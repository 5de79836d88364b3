package sidecar

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	dapr "github.com/dapr/go-sdk/client"
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
func (s *StateStore) Get(ctx context.Context, keys []string) (map[string][]byte, error) {
	items, err := s.client.sdk.GetBulkState(ctx, s.name, keys, nil, bulkParallelism)
	if err != nil {
		return nil, err
	}
	values := make(map[string][]byte, len(items))
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

// Save writes items in one call, each replacing what its key held. Keys must not repeat.
func (s *StateStore) Save(ctx context.Context, items []StateItem) error {
	set := make([]*dapr.SetStateItem, len(items))
	for i, item := range items {
		set[i] = &dapr.SetStateItem{
			Key:      item.Key,
			Value:    item.Value,
			Metadata: map[string]string{"ttlInSeconds": strconv.Itoa(int(item.TTL.Seconds()))},
			Options:  &dapr.StateOptions{Concurrency: dapr.StateConcurrencyLastWrite, Consistency: dapr.StateConsistencyStrong},
		}
	}
	return s.client.sdk.SaveBulkState(ctx, s.name, set...)
}
