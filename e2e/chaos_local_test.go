//go:build chaos && !backends

package e2e_test

import (
	"database/sql"
	"path/filepath"

	"github.com/bankmore/bankmore/e2e/stack"
)

// servers are those outside of the stack.
func servers() map[string]stack.Server { return nil }

// cut ends a service between its transaction and the database's answer: with SQLite that is the process itself. If
// committed, the transaction has been committed.
func (s *scene) cut(id, function string, committed bool, do func()) {
	s.Helper()
	point := "commit.before"
	if committed {
		point = "commit.after"
	}
	trap := s.arm(id, point, stack.Kill, function)
	do()
	s.killedAt(id, trap)
}

// memory runs a statement on the state store's database.
func (s *scene) memory(statement string) {
	s.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(system.Dir, ".data", "state.db")+"?_pragma=busy_timeout(10000)")
	s.must(err)
	defer db.Close()
	_, err = db.ExecContext(s.Context(), statement)
	s.must(err)
}

// flush makes the state store forget everything.
func (s *scene) flush() {
	s.Helper()
	s.memory("DELETE FROM state")
}

// withoutMemory runs do while every call of the state store fails.
func (s *scene) withoutMemory(do func()) {
	s.Helper()
	s.memory("ALTER TABLE state RENAME TO state_gone")
	defer s.memory("ALTER TABLE state_gone RENAME TO state")
	do()
}

// withoutWrites runs do while the disk of the services' databases is full.
func (s *scene) withoutWrites(do func()) {
	s.Helper()
	do()
}
