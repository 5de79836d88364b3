package main

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/internal/sqlstore"
)

func newFlags() *flag.FlagSet {
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

func TestRepublishArguments(t *testing.T) {
	since, err := republishingSince(newFlags(), []string{"-since", "2026-01-31T12:00:00Z"})
	if err != nil || !since.Equal(time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("%v, %v", since, err)
	}
	for name, args := range map[string][]string{
		"nothing":      nil,
		"no time":      {"-since"},
		"another time": {"-since", "noon"},
		"more":         {"-since", "2026-01-31T12:00:00Z", "more"},
		"another flag": {"-force", "-since", "2026-01-31T12:00:00Z"},
	} {
		if _, err := republishingSince(newFlags(), args); !errors.Is(err, service.ErrUsage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The command adds the events of completed transfers to the outbox of an existing database. It creates no database.
func TestRepublish(t *testing.T) {
	path := filepath.Join(t.TempDir(), "transfer.db")
	t.Setenv("BANKMORE_ENV", "local")
	t.Setenv("DATABASE_URL", "sqlite:"+path)
	run := func() error { return run(t.Context(), "republish", "-since", "1970-01-01T00:00:00Z") }
	if err := run(); err == nil {
		t.Error("no database, and no error")
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("republish has created a database")
	}
	db, err := sqldb.Open(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(t.Context(), sqlstore.Migrations()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), "INSERT INTO transfers VALUES ('t', 'r', 'f', 'a', '11', '22', 1050, 'COMPLETED', NULL, NULL, 0, 0, 1, NULL, 0)"); err != nil {
		t.Fatal(err)
	}
	if err := run(); err != nil {
		t.Fatal(err)
	}
	var id string
	if err := db.Read().QueryRowContext(t.Context(), "SELECT id FROM outbox").Scan(&id); err != nil || id != "t" {
		t.Errorf("the outbox has %q, %v", id, err)
	}
}
