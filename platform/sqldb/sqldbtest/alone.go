package sqldbtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// Joined is an operation that joins the writes of many callers in shared transactions.
type Joined struct {
	Table, Column string   // where Do writes the name of its caller
	Names         []string // of callers; the database refuses the first
	Locked        string   // another caller, whose row another session locks
	// Do writes for one caller.
	Do func(ctx context.Context, name string) error
	// Lock is the statement by which that session locks the row that Do needs for Locked.
	Lock string
	Args []any
}

// FailsAlone shows that one caller's failure does not fail or delay the others. The database refuses the value of one
// caller. On PostgreSQL, another session then locks the row of another caller for 10 s.
func (e Engine) FailsAlone(t *testing.T, db *sqldb.DB, j Joined) {
	t.Helper()
	bad, locked := j.Names[0], j.Locked
	for _, statement := range e.forbid(j.Table, j.Column, bad) {
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range j.all(t, j.Names) {
		if o.err == nil != (o.name != bad) {
			t.Errorf("%s, whom the database refuses: %t, got %v", o.name, o.name == bad, o.err)
		}
		if o.name == bad && fault.From(o.err).Kind != fault.Unavailable {
			t.Errorf("%s: %v, want an error of kind Unavailable", o.name, o.err)
		}
	}
	if e.Name == SQLite.Name { // SQLite has one writer, and no locks on rows
		return
	}
	tx, err := db.Read().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(t.Context(), "SET LOCAL idle_in_transaction_session_timeout = 0"); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), j.Lock, j.Args...); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < 10*time.Second; {
		for _, o := range j.all(t, append(j.Names[1:len(j.Names):len(j.Names)], locked)) {
			if (o.err == nil) != (o.name != locked) || (o.name != locked && o.took > 2*time.Second) {
				t.Errorf("%s, while %s is locked: %v after %v", o.name, locked, o.err, o.took)
			}
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := j.Do(t.Context(), locked); err != nil {
		t.Errorf("%s, once nobody has it locked: %v", locked, err)
	}
}

type ended struct {
	name string
	took time.Duration
	err  error
}

// all calls Do for each name at the same time.
func (j Joined) all(t *testing.T, names []string) []ended {
	t.Helper()
	out := make([]ended, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			began := time.Now()
			err := j.Do(t.Context(), name)
			out[i] = ended{name, time.Since(began), err}
		})
	}
	all.Wait()
	return slices.Clip(out)
}

// forbid returns statements that make the database refuse a value of a column, as a CHECK does.
func (e Engine) forbid(table, column, value string) []string {
	if e.Name == SQLite.Name {
		return []string{fmt.Sprintf(`CREATE TRIGGER forbidden BEFORE INSERT ON %s WHEN NEW.%s = '%s' BEGIN SELECT RAISE(ABORT, 'forbidden'); END`,
			table, column, value)}
	}
	return []string{fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT forbidden CHECK (%s <> '%s')", table, column, value)}
}
