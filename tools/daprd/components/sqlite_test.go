package components

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/dapr/components-contrib/metadata"
	resolution "github.com/dapr/components-contrib/nameresolution"
	"github.com/dapr/components-contrib/state"
	"github.com/dapr/kit/logger"
)

// A component begins although its file is locked for longer than it waits for a lock.
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
