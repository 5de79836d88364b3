package components

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/dapr/components-contrib/state"
	"github.com/dapr/components-contrib/state/sqlite"
	"github.com/dapr/kit/logger"
)

// How often a component is given another chance to begin, and after which pause.
const (
	beginnings = 20
	pause      = 100 * time.Millisecond
)

// begin tries again if a component that keeps an SQLite file cannot begin. Sidecars that start together create the file
// together, and SQLite tells some of them at once that it is locked, whatever their busy timeout.
func begin(ctx context.Context, start func() error) (err error) {
	for range beginnings {
		if err = start(); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // nobody gains by guessing a pause
		}
	}
	return err
}

// store is Dapr's SQLite state store, which tries again if it cannot begin. daprd would end.
type store struct {
	*sqlite.SQLiteStore

	renew func() *sqlite.SQLiteStore
}

func newStore(log logger.Logger) state.Store {
	renew := func() *sqlite.SQLiteStore { return sqlite.NewSQLiteStateStore(log).(*sqlite.SQLiteStore) }
	return &store{SQLiteStore: renew(), renew: renew}
}

func (s *store) Init(ctx context.Context, metadata state.Metadata) error {
	return begin(ctx, func() error {
		s.SQLiteStore = s.renew()
		return s.SQLiteStore.Init(ctx, metadata)
	})
}
