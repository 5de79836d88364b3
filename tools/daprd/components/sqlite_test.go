package components

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dapr/components-contrib/metadata"
	resolution "github.com/dapr/components-contrib/nameresolution"
	"github.com/dapr/components-contrib/state"
	"github.com/dapr/kit/logger"
)

// If sidecars start at the same time and their SQLite files do not exist yet, each gets name resolution and a state store.
func TestSidecarsStartTogether(t *testing.T) {
	log := logger.NewLogger("test")
	for range 20 {
		names, answers := filepath.Join(t.TempDir(), "names.db"), filepath.Join(t.TempDir(), "state.db")
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				err := newResolver(log).Init(t.Context(), resolution.Metadata{
					Instance:      resolution.Instance{Address: "127.0.0.1", AppID: fmt.Sprint("app-", n), DaprInternalPort: 1000 + n},
					Configuration: map[string]string{"connectionString": names, "busyTimeout": "5s", "cleanupInterval": "0s"},
				})
				if err != nil {
					t.Errorf("names of app-%d: %v", n, err)
				}
			})
			all.Go(func() {
				settings := map[string]string{"connectionString": answers, "busyTimeout": "5s"}
				if err := newStore(log).Init(t.Context(), state.Metadata{Base: metadata.Base{Properties: settings}}); err != nil {
					t.Errorf("state store of app-%d: %v", n, err)
				}
			})
		}
		all.Wait()
	}
}

// An error in a setting is returned at once.
func TestOnlyALockIsTriedAgain(t *testing.T) {
	settings := map[string]string{"connectionString": filepath.Join(t.TempDir(), "no", "folder", "state.db")}
	log, said := logger.NewLogger("only a lock"), new(strings.Builder)
	log.SetOutput(said)
	if err := newStore(log).Init(t.Context(), state.Metadata{Base: metadata.Base{Properties: settings}}); err == nil {
		t.Error("a file in no folder was opened")
	}
	if strings.Contains(said.String(), "trying again") {
		t.Errorf("it was tried again: %s", said)
	}
}

// A component starts even if its file is locked for longer than its busy timeout.
func TestBeginsOnALockedFile(t *testing.T) {
	log := logger.NewLogger("test")
	for kind, start := range map[string]func(ctx context.Context, settings map[string]string) error{
		"name resolution": func(ctx context.Context, settings map[string]string) error {
			settings["cleanupInterval"] = "0s"
			return newResolver(log).Init(ctx, resolution.Metadata{
				Instance:      resolution.Instance{Address: "127.0.0.1", AppID: "app", DaprInternalPort: 1000},
				Configuration: settings,
			})
		},
		"state store": func(ctx context.Context, settings map[string]string) error {
			return newStore(log).Init(ctx, state.Metadata{Base: metadata.Base{Properties: settings}})
		},
	} {
		t.Run(kind, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "file.db")
			other, err := sql.Open("sqlite", file)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			other.SetMaxOpenConns(1) // the one with the lock
			if _, err := other.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
				t.Fatal(err)
			}
			release := time.AfterFunc(time.Second, func() { _, _ = other.Exec("ROLLBACK") })
			defer release.Stop()
			if err := start(t.Context(), map[string]string{"connectionString": file, "busyTimeout": "100ms", "timeout": "15s", "updateInterval": "20s"}); err != nil {
				t.Error(err)
			}
		})
	}
}
