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

// How often begin calls start, and the mean pause between two calls.
const (
	beginnings = 20
	pause      = 100 * time.Millisecond
)

// begin calls start until it does not fail because of a locked SQLite file, at most beginnings times. Sidecars that start at the
// same time create the file at the same time. SQLite then returns SQLITE_BUSY to some of them at once, whatever their busy
// timeout is.
func begin(ctx context.Context, log logger.Logger, start func() error) (err error) {
	for range beginnings {
		if err = start(); err == nil || !isLocked(err) {
			return err
		}
		log.Warnf("An SQLite file is locked; trying again: %v", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // the pause need not be a secret
		}
	}
	return err
}

// isLocked recognizes SQLite's error by its text, since some of Dapr's errors quote it without wrapping it.
func isLocked(err error) bool { return strings.Contains(err.Error(), "SQLITE_BUSY") }

// store is Dapr's SQLite state store, but Init tries again if the file is locked. Dapr's own store would end daprd.
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
			_ = s.Close() // its Init has failed, so it holds nothing
			s.SQLiteStore = newSQLiteStore(s.log)
		}
		return err
	})
}
