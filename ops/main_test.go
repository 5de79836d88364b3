package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

func TestUsage(t *testing.T) {
	for _, args := range []string{"", "nothing", "verify more", "verify -bogus", "verify -grace x", "verify -grace -1s", "verify -h", "repair", "repair fees", "repair transfers more", "repair -since noon transfers",
		"backup", "backup a b", "restore", "restore dir fee", "restore dir ops-svc", "verify -scratch url", "missing more", "skip-events more", "create-secrets", "create-secrets a b"} {
		var out, problems bytes.Buffer
		if code := run(t.Context(), &out, &problems, strings.Fields(args)); code != 2 || out.Len() > 0 || !strings.Contains(strings.ToLower(problems.String()), "usage") {
			t.Errorf("ops %s: %d\n%s%s", args, code, &out, &problems)
		}
	}
}

func TestVersion(t *testing.T) {
	var out, problems bytes.Buffer
	if code := run(t.Context(), &out, &problems, []string{"version"}); code != 0 || len(strings.Fields(out.String())) != 2 {
		t.Errorf("ops version: %d\n%s%s", code, &out, &problems)
	}
}

// databases makes the environment name three empty databases.
func databases(t *testing.T) map[string]*sqldb.DB {
	t.Helper()
	t.Setenv("VERIFY_MAX_UNFINISHED", "")
	dbs := map[string]*sqldb.DB{}
	for _, service := range []string{"account", "transfer", "fee"} {
		url := sqldbtest.SQLite.URL(t)
		t.Setenv(strings.ToUpper(service)+"_DATABASE_URL", url)
		dbs[service] = sqldbtest.Reopen(t, url)
		if err := dbs[service].Migrate(t.Context(), os.DirFS("../"+service+"-svc/internal/sqlstore/migrations")); err != nil {
			t.Fatal(err)
		}
	}
	return dbs
}

func execute(t *testing.T, db *sqldb.DB, statement string) {
	t.Helper()
	err := db.InTx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), statement)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestVerify(t *testing.T) {
	dbs := databases(t)
	wantRun(t, 0, "12 invariants checked, 0 violations", "verify")
	wantRun(t, 0, "13 invariants checked, 0 violations", "verify", "-at-rest")
	execute(t, dbs["fee"], `INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, due_at)
		VALUES ('f', 't', '11', 200, 'WAIVED', 'X', 0, 0)`)
	wantRun(t, 1, "VIOLATION a completed transfer, and no other, has one fee", "verify")
}

// For how long something may be in flight, -grace says, else VERIFY_MAX_UNFINISHED, else it is 10 minutes.
func TestVerifyGrace(t *testing.T) {
	dbs := databases(t)
	execute(t, dbs["transfer"], fmt.Sprintf("INSERT INTO outbox (id, topic, partition_key, payload, created_at, claimed_until) VALUES ('e', 't', 'k', '', %d, 0)", sqldb.Micros(time.Now().Add(-5*time.Minute))))
	wantRun(t, 0, "1 in flight", "verify")
	wantRun(t, 1, "VIOLATION no event stays", "verify", "-grace", "4m")
	t.Setenv("VERIFY_MAX_UNFINISHED", "4m")
	wantRun(t, 1, "VIOLATION no event stays", "verify")
	wantRun(t, 0, "1 in flight", "verify", "-grace", "6m")
	for _, bad := range []string{"x", "-4m"} {
		t.Setenv("VERIFY_MAX_UNFINISHED", bad)
		wantRun(t, 2, "wrong usage: VERIFY_MAX_UNFINISHED", "verify")
	}
}

func wantRun(t *testing.T, wantCode int, want string, args ...string) {
	t.Helper()
	var out, problems bytes.Buffer
	if code := run(t.Context(), &out, &problems, args); code != wantCode || !strings.Contains(out.String()+problems.String(), want) {
		t.Errorf("ops %s: %d, want %d and %q\n%s%s", strings.Join(args, " "), code, wantCode, want, &out, &problems)
	}
}

// A database that is not there is an error, and is not created.
func TestWithoutDatabases(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, variable := range databaseVariables {
		t.Setenv(variable, "")
	}
	wantRun(t, 1, filepath.Join(".data", "account.db"), "verify")
	wantRun(t, 1, filepath.Join(".data", "account.db"), "repair", "transfers")
	if entries, err := os.ReadDir("."); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// The databases of two systems are never taken for those of one.
func TestSomeDatabases(t *testing.T) {
	databases(t)
	repair := []string{"repair", "transfers"}
	t.Setenv("FEE_DATABASE_URL", "")
	wantRun(t, 2, "but no FEE_DATABASE_URL\n", "verify")
	wantRun(t, 0, "0 transfers", repair...) // which needs no fees
	t.Setenv("TRANSFER_DATABASE_URL", "")
	wantRun(t, 2, "but no TRANSFER_DATABASE_URL and no FEE_DATABASE_URL\n", "verify")
	wantRun(t, 2, "but no TRANSFER_DATABASE_URL\n", repair...)
}

// programs puts programs for the services' own verify into the PATH, each with an exit code.
func programs(t *testing.T, codes map[string]int) {
	t.Helper()
	dir := t.TempDir()
	for _, service := range []string{"account-svc", "transfer-svc", "fee-svc"} {
		script := fmt.Sprintf("#!/bin/sh\necho %s $1 of $DATABASE_URL within $VERIFY_MAX_UNFINISHED\nexit %d\n", service, codes[service])
		if err := os.WriteFile(filepath.Join(dir, service), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// A backup is made, checked by all four verifies, and put back.
func TestBackup(t *testing.T) {
	dbs := databases(t)
	programs(t, nil)
	execute(t, dbs["transfer"], fmt.Sprintf("INSERT INTO outbox (id, topic, partition_key, payload, created_at, claimed_until) VALUES ('e', 't', 'k', '', %d, 0)", sqldb.Micros(time.Now().Add(-5*time.Minute))))
	dir := filepath.Join(t.TempDir(), "b")
	wantRun(t, 0, dir+" is whole", "backup", dir)
	wantRun(t, 1, "never overwritten", "backup", dir)
	wantRun(t, 0, "account-svc verify of sqlite:"+filepath.Join(dir, "account.db")+" within 10m", "verify", "-backup", dir)
	wantRun(t, 0, "12 invariants checked, 0 violations", "verify", "-backup", dir)
	wantRun(t, 1, "VIOLATION no event stays", "verify", "-backup", dir, "-grace", "4m")
	manifest := filepath.Join(dir, "backup.json")
	whole, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	older := regexp.MustCompile(`"moment": "[^"]*"`).ReplaceAllString(string(whole), `"moment": "`+time.Now().Add(-2*time.Minute).UTC().Format(time.RFC3339)+`"`)
	if err := os.WriteFile(manifest, []byte(older), 0o600); err != nil {
		t.Fatal(err)
	}
	wantRun(t, 0, "12 invariants checked, 0 violations", "verify", "-backup", dir, "-grace", "4m") // it had waited for 3 minutes then

	programs(t, map[string]int{"transfer-svc": 1})
	wantRun(t, 1, "transfer-svc verify: exit status 1", "verify", "-backup", dir)
	wantRun(t, 1, "12 invariants checked, 0 violations", "verify", "-backup", dir)
	programs(t, nil)

	wantRun(t, 1, "is there: move it away first", "restore", dir)
	for _, service := range []string{"account", "transfer", "fee"} {
		t.Setenv(strings.ToUpper(service)+"_DATABASE_URL", sqldbtest.SQLite.URL(t))
	}
	wantRun(t, 0, "transfer-svc as of 20", "restore", dir, "transfer-svc")
	wantRun(t, 1, "account-svc: ", "verify")
	wantRun(t, 0, "account-svc  as of 20", "restore", dir, "fee-svc", "account-svc")
	wantRun(t, 0, "12 invariants checked, 0 violations", "verify")

	if err := os.Remove(manifest); err != nil {
		t.Fatal(err)
	}
	wantRun(t, 1, "no whole backup: it has no backup.json", "verify", "-backup", dir)
}

// On a machine without pg_dump, backup tells the operator what to run on a machine that has it.
func TestBackupWithoutPgDump(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, service := range []string{"ACCOUNT", "TRANSFER", "FEE"} {
		t.Setenv(service+"_DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")
	}
	dir := filepath.Join(t.TempDir(), "b")
	wantRun(t, 1, "pg_dump --format=custom --no-owner --no-privileges --file="+filepath.Join(dir, "transfer.dump")+` "$TRANSFER_DATABASE_URL"`, "backup", dir)
}

// The statements that create and drop databases for the check of a backup may take as long as the server needs.
func TestScratchHasNoTimeout(t *testing.T) {
	for given, want := range map[string]string{
		"postgres://a:b@h:1/d": "postgres://a:b@h:1/d?statement_timeout=0",
		"postgres://a:b@h/d?sslmode=disable&statement_timeout=8s":   "postgres://a:b@h/d?sslmode=disable&statement_timeout=0",
		"postgres://a:b%2Fc@h/d?search_path=x%2Cy&pool_max_conns=2": "postgres://a:b%2Fc@h/d?pool_max_conns=2&search_path=x%2Cy&statement_timeout=0",
		"postgres://a:b%zz@h/d": "postgres://a:b%zz@h/d", // no URL: sqldb.Open says so
	} {
		if got := withoutTimeout(given); got != want {
			t.Errorf("%s: %s, want %s", given, got, want)
		}
	}
}
