package components

import (
	"context"
	"math/rand/v2"
	"strings"
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

// begin tries again if a component cannot begin because its SQLite file is locked. Sidecars that start together create the
// file together, and SQLite tells some of them at once that it is locked, whatever their busy timeout.
func begin(ctx context.Context, log logger.Logger, start func() error) (err error) {
	for range beginnings {
		if err = start(); err == nil || !isLocked(err) {
			return err
		}
		log.Warnf("An SQLite file is locked; trying again: %v", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // nobody gains by guessing a pause
		}
	}
	return err
}

// isLocked knows SQLite's error by its text: some of Dapr's errors do not wrap what they quote.
func isLocked(err error) bool { return strings.Contains(err.Error(), "SQLITE_BUSY") }

// store is Dapr's SQLite state store, which tries again if its file is locked when it begins. Dapr's own ends daprd then.
type store struct {
	*sqlite.SQLiteStore

	log logger.Logger
}

func newStore(log logger.Logger) state.Store {
	return &store{SQLiteStore: newSQLiteStore(log), log: log}
}

func newSQLiteStore(log logger.Logger) *sqlite.SQLiteStore {
	return sqlite.NewSQLiteStateStore(log).(*sqlite.SQLiteStore)
}

func (s *store) Init(ctx context.Context, metadata state.Metadata) error {
	return begin(ctx, s.log, func() error {
		err := s.SQLiteStore.Init(ctx, metadata)
		if err != nil {
			_ = s.Close() // what has failed to begin has nothing to lose
			s.SQLiteStore = newSQLiteStore(s.log)
		}
		return err
	})
}
