package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/account-svc/internal/customer"
	"github.com/bankmore/bankmore/account-svc/internal/sqlstore"
	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/service"
	"github.com/bankmore/bankmore/platform/sqldb"
)

func newFlags() *flag.FlagSet {
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

func TestReopeningArguments(t *testing.T) {
	for name, args := range map[string][]string{
		"flag first":  {"-reason", "a refund came", "7907027952"},
		"flag last":   {"7907027952", "-reason", "a refund came"},
		"long flag":   {"--reason=a refund came", "7907027952"},
		"end of them": {"-reason", "a refund came", "--", "7907027952"},
	} {
		r, err := reopening(newFlags(), args)
		if err != nil || r.Number != "7907027952" || r.Reason != "a refund came" || time.Since(r.At) > time.Minute {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	for name, args := range map[string][]string{
		"nothing":         nil,
		"no number":       {"-reason", "a refund came"},
		"no reason":       {"7907027952"},
		"a blank reason":  {"7907027952", "-reason", " "},
		"a reason unsaid": {"7907027952", "-reason"},
		"two numbers":     {"-reason", "a refund came", "7907027952", "6584534835"},
		"another flag":    {"-force", "7907027952"},
	} {
		if r, err := reopening(newFlags(), args); !errors.Is(err, service.ErrUsage) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// The command reopens a closed account, stores and logs when and why. If it cannot do so, it returns an error and changes
// nothing.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "account.db")
	t.Setenv("BANKMORE_ENV", "local")
	t.Setenv("DATABASE_URL", "sqlite:"+path)
	run := func(args ...string) (log string, err error) {
		t.Helper()
		usual, stderr := slog.Default(), os.Stderr
		defer func() { slog.SetDefault(usual); os.Stderr = stderr }()
		file, err := os.Create(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		os.Stderr = file
		err = accountService().Run(t.Context(), io.Discard, io.Discard, append([]string{"reopen"}, args...)...)
		text, _ := os.ReadFile(file.Name())
		return string(bytes.TrimSpace(text)), err
	}

	if _, err := run("-reason", "x", "11"); err == nil {
		t.Error("no database, and no error")
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("reopen has created a database")
	}

	if err := accountService().Run(t.Context(), io.Discard, io.Discard, "migrate"); err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.Open(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	store := sqlstore.New(db)
	if err := store.Register(t.Context(), customer.Registration{
		Customer: customer.Customer{AccountID: "a", Number: "11", Name: "Ana"}, CPFHash: "cpf", CreatedAt: time.Now(),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := run("-reason", "x", "12"); err == nil || !strings.Contains(err.Error(), "no account has the number 12") {
		t.Errorf("unknown number: %v", err)
	}
	if _, err := run("-reason", "x", "11"); !errors.Is(err, customer.ErrNotClosed) {
		t.Errorf("active account: %v", err)
	}
	if err := store.Deactivate(t.Context(), "a", time.Now()); err != nil {
		t.Fatal(err)
	}
	log, err := run("11", "-reason", "a refund came")
	if err != nil || !strings.Contains(log, "account reopened") || !strings.Contains(log, "a refund came") || !strings.Contains(log, "11") {
		t.Errorf("%v, log %q", err, log)
	}
	if c, err := store.ByID(t.Context(), "a"); err != nil || !c.Active {
		t.Errorf("%+v, %v", c, err)
	}
	var reason string
	var closed, reopened int64
	if err := db.Read().QueryRowContext(t.Context(), "SELECT reason, closed_at, reopened_at FROM reopenings WHERE account_id = 'a'").
		Scan(&reason, &closed, &reopened); err != nil || reason != "a refund came" || closed == 0 || reopened < closed {
		t.Errorf("the record: %q, %d, %d, %v", reason, closed, reopened, err)
	}

	// The error of a database that fails holds the cause, without the message for customers.
	if _, err := db.Exec(t.Context(), "ALTER TABLE reopenings RENAME TO gone"); err != nil {
		t.Fatal(err)
	}
	if err := store.Deactivate(t.Context(), "a", time.Now()); err != nil {
		t.Fatal(err)
	}
	_, err = run("-reason", "x", "11")
	if f := new(fault.Error); err == nil || errors.As(err, &f) || !strings.Contains(err.Error(), "reopenings") {
		t.Errorf("a database that fails: %v", err)
	}
}
