package backup_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bankmore/bankmore/ops/internal/backup"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// system is three databases with the services' schemas.
type system struct {
	urls backup.URLs
	dbs  map[string]*sqldb.DB
}

func newSystem(t *testing.T, engine sqldbtest.Engine) system {
	t.Helper()
	s := system{urls: backup.URLs{}, dbs: map[string]*sqldb.DB{}}
	for _, service := range backup.Services {
		s.urls[service] = engine.URL(t)
		s.dbs[service] = sqldbtest.Reopen(t, s.urls[service])
		if err := s.dbs[service].Migrate(t.Context(), os.DirFS("../../../"+service+"-svc/internal/sqlstore/migrations")); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func exec(ctx context.Context, db *sqldb.DB, statement string) error {
	return db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, statement)
		return err
	})
}

// customer returns a statement that adds a customer.
func customer(i int) string {
	return fmt.Sprintf(`INSERT INTO customers (account_id, name, cpf_hash, cpf_encrypted, password_hash, created_at) VALUES ('%[1]d', 'Ana', '%[1]d', '', '', 0)`, i)
}

// customers returns the number of customers in a database, and the last one.
func customers(t *testing.T, db *sqldb.DB) (n int, last string) {
	t.Helper()
	if err := db.Read().QueryRowContext(t.Context(), "SELECT count(*), coalesce(max(account_id), '') FROM customers").Scan(&n, &last); err != nil {
		t.Fatal(err)
	}
	return n, last
}

// A backup that is made while services write has everything that was committed before, and blocks no writer. The restored
// database has the same rows and can be written to. Neither a backup nor a database is ever overwritten.
func TestBackup(t *testing.T) { sqldbtest.Each(t, testBackup) }

func testBackup(t *testing.T, engine sqldbtest.Engine) {
	s := newSystem(t, engine)
	const before = 50 // they stay in SQLite's -wal file
	for i := range before {
		if err := exec(t.Context(), s.dbs["account"], customer(1000+i)); err != nil {
			t.Fatal(err)
		}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	var written atomic.Int32
	go func() {
		defer close(stopped)
		for i := before; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := exec(t.Context(), s.dbs["account"], customer(1000+i)); err != nil {
				t.Error(err)
				return
			}
			written.Add(1)
		}
	}()
	dir := filepath.Join(t.TempDir(), "backups", "first")
	began := time.Now()
	m, err := backup.Make(t.Context(), dir, s.urls)
	if err != nil {
		t.Fatal(err)
	}
	for goal := written.Load() + 20; written.Load() < goal; time.Sleep(time.Millisecond) {
	}
	close(stop)
	<-stopped

	if _, err := backup.Make(t.Context(), dir, s.urls); err == nil || !strings.Contains(err.Error(), "never overwritten") {
		t.Errorf("into a folder that is there: %v", err)
	}
	read, err := backup.Read(dir)
	if err != nil || len(read.Copies) != 3 {
		t.Fatalf("%+v, %v", read, err)
	}
	for i, service := range []string{"fee", "transfer", "account"} {
		c := read.Copies[i]
		if c != m.Copies[i] || c.Service != service || c.Bytes == 0 || c.Moment.Before(began.Add(-time.Second)) || c.Moment.After(time.Now().Add(time.Second)) ||
			i > 0 && c.Moment.Before(read.Copies[i-1].Moment) {
			t.Errorf("copy %d: %+v", i, c)
		}
	}
	wantPrivate(t, dir)
	if _, err := backup.Restore(t.Context(), dir, []string{"account"}, s.urls); err == nil {
		t.Error("a database that is there is overwritten")
	}

	empty := backup.URLs{"account": engine.URL(t), "transfer": engine.URL(t), "fee": engine.URL(t)}
	if engine.Name == sqldbtest.SQLite.Name {
		left := strings.TrimPrefix(empty["account"], "sqlite:") + "-wal"
		if err := os.WriteFile(left, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if done, err := backup.Restore(t.Context(), dir, backup.Services, empty); err == nil || len(done) > 0 {
			t.Errorf("beside the log of another database: %v, %v", done, err)
		}
		if err := os.Remove(left); err != nil {
			t.Fatal(err)
		}
	}
	done, err := backup.Restore(t.Context(), dir, backup.Services, empty)
	if err != nil || len(done) != 3 {
		t.Fatalf("%v, %v", done, err)
	}
	restored := sqldbtest.Reopen(t, empty["account"])
	n, last := customers(t, restored)
	if all, _ := customers(t, s.dbs["account"]); n < before || n > all-20 || last != fmt.Sprint(1000+n-1) {
		t.Errorf("%d customers up to %s of %d", n, last, all)
	}
	for service, view := range map[string]string{"account": "books_movements", "transfer": "books_transfers", "fee": "books_fees"} {
		var rows int
		if err := sqldbtest.Look(t, empty[service]).Read().QueryRowContext(t.Context(), "SELECT count(*) FROM "+view).Scan(&rows); err != nil {
			t.Errorf("the view %s is not restored: %v", view, err)
		}
	}
	for _, c := range done {
		if err := backup.Check(t.Context(), c, empty[c.Service]); err != nil {
			t.Error(err)
		}
		db := sqldbtest.Reopen(t, empty[c.Service])
		if err := db.Migrate(t.Context(), os.DirFS("../../../"+c.Service+"-svc/internal/sqlstore/migrations")); err != nil {
			t.Errorf("%s: %v", c.Service, err)
		}
	}
	if err := exec(t.Context(), restored, customer(1)); err != nil {
		t.Error(err)
	}
	if err := exec(t.Context(), restored, "INSERT INTO accounts (id, number) VALUES ('nobody', '1')"); err == nil {
		t.Error("a restored database has no references")
	}
}

// wantPrivate checks that nobody but the owner can read a backup.
func wantPrivate(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[entry.IsDir()]; err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A folder that is not a whole backup is refused.
func TestNoWholeBackup(t *testing.T) {
	s := newSystem(t, sqldbtest.SQLite)
	made := func() string {
		dir := filepath.Join(t.TempDir(), "b")
		if _, err := backup.Make(t.Context(), dir, s.urls); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for name, harm := range map[string]func(dir string) error{
		"no manifest":     func(dir string) error { return os.Remove(filepath.Join(dir, "backup.json")) },
		"half a manifest": func(dir string) error { return os.Truncate(filepath.Join(dir, "backup.json"), 100) },
		"a copy is gone":  func(dir string) error { return os.Remove(filepath.Join(dir, "fee.db")) },
		"a copy is short": func(dir string) error { return os.Truncate(filepath.Join(dir, "account.db"), 4096) },
		"a bit is wrong": func(dir string) error {
			path := filepath.Join(dir, "transfer.db")
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			raw[len(raw)/2] ^= 1
			return os.WriteFile(path, raw, 0o600)
		},
		"no folder": os.RemoveAll,
	} {
		t.Run(name, func(t *testing.T) {
			dir := made()
			if err := harm(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := backup.Read(dir); !errors.Is(err, backup.ErrIncomplete) {
				t.Errorf("read: %v", err)
			}
			empty := backup.URLs{}
			for _, service := range backup.Services {
				empty[service] = sqldbtest.SQLite.URL(t)
			}
			if _, err := backup.Restore(t.Context(), dir, backup.Services, empty); !errors.Is(err, backup.ErrIncomplete) {
				t.Errorf("restored: %v", err)
			}
		})
	}
}

// A backup that fails leaves nothing. A killed backup leaves a folder whose name says so, and the next backup is refused.
func TestUnfinishedBackup(t *testing.T) {
	s := newSystem(t, sqldbtest.SQLite)
	dir := filepath.Join(t.TempDir(), "b")
	gone := backup.URLs{"fee": s.urls["fee"], "transfer": s.urls["transfer"], "account": sqldbtest.SQLite.URL(t)}
	if _, err := backup.Make(t.Context(), dir, gone); err == nil {
		t.Error("a database that is not there was copied")
	}
	if entries, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(entries) > 0 {
		t.Errorf("an error leaves %v, %v", entries, err)
	}
	if err := os.Mkdir(dir+".unfinished", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Make(t.Context(), dir, s.urls); err == nil || !strings.Contains(err.Error(), "ended before it was whole") {
		t.Errorf("beside an unfinished one: %v", err)
	}
}

// Check finds damaged pages and foreign keys, which were damaged before the copy, so that its checksum is right.
func TestCheckFindsDamage(t *testing.T) {
	s := newSystem(t, sqldbtest.SQLite)
	account := backup.Copy{Service: "account", Engine: backup.SQLite}
	if err := backup.Check(t.Context(), account, s.urls["account"]); err != nil {
		t.Error(err)
	}
	damaged, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(s.urls["account"], "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	defer damaged.Close()
	if _, err := damaged.ExecContext(t.Context(), "INSERT INTO accounts (id, number) VALUES ('nobody', '1')"); err != nil {
		t.Fatal(err)
	}
	if err := backup.Check(t.Context(), account, s.urls["account"]); err == nil || !strings.Contains(err.Error(), "row 1 of accounts refers to nothing in customers") {
		t.Errorf("a missing reference: %v", err)
	}

	path := strings.TrimPrefix(s.urls["fee"], "sqlite:")
	if err := s.dbs["fee"].Close(); err != nil { // which empties the -wal file
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(raw[2*4096:3*4096], strings.Repeat("\xff", 4096))
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := backup.Check(t.Context(), backup.Copy{Service: "fee", Engine: backup.SQLite}, s.urls["fee"]); err == nil || !strings.Contains(err.Error(), "malformed") && !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged page: %v", err)
	}
}
