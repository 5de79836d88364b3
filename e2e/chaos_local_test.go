//go:build chaos && !backends

package e2e_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

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

// forgetMemory loses the state store; no sidecar may run.
func (s *scene) forgetMemory() {
	s.Helper()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		s.must(os.RemoveAll(filepath.Join(system.Dir, ".data", "state.db"+suffix)))
	}
}

// lose loses the databases of services that do not run.
func (s *scene) lose(services ...string) {
	s.Helper()
	for _, id := range services {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			s.must(os.RemoveAll(system.Apps[id].Database + suffix))
		}
	}
}

// scratch is where verify restores a backup to; it reads those of SQLite as they are.
func scratch() []string { return nil }

// withoutMemory runs do while every call of the state store fails.
func (s *scene) withoutMemory(do func()) {
	s.Helper()
	s.memory("ALTER TABLE state RENAME TO state_gone")
	defer s.memory("ALTER TABLE state_gone RENAME TO state")
	do()
}

// room is how much the databases may grow on the small disk.
const room = 32 << 20

func smallDisk() string { return filepath.Join(system.Dir, ".data", "disk") }

// disk moves the databases to a small file system of their own, which takes root, for as long as the row lasts.
func (s *scene) disk() {
	s.Helper()
	home, disk := filepath.Dir(system.Apps["account-svc"].Database), smallDisk()
	size := int64(room)
	for _, id := range stack.Services {
		info, err := os.Stat(system.Apps[id].Database)
		s.must(err)
		size += 2 * info.Size()
	}
	s.must(os.MkdirAll(disk, 0o700))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d,mode=700", size), "tmpfs", disk).CombinedOutput(); err != nil {
		s.Fatalf("row 16 needs a small disk, and root to mount one: %v: %s", err, out)
	}
	s.moveDatabases(home, disk)
	s.Cleanup(func() {
		s.moveDatabases(disk, home)
		if out, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
			s.Errorf("%v: %s", err, out)
		}
	})
}

func (s *scene) moveDatabases(from, to string) {
	s.Helper()
	for _, id := range stack.Services {
		app := system.Apps[id]
		s.must(app.Service.Terminate())
		for _, suffix := range []string{"", "-wal", "-shm"} {
			raw, err := os.ReadFile(filepath.Join(from, id+".db"+suffix))
			if errors.Is(err, fs.ErrNotExist) {
				s.must(os.RemoveAll(filepath.Join(to, id+".db"+suffix)))
				continue
			}
			s.must(err)
			s.must(os.WriteFile(filepath.Join(to, id+".db"+suffix), raw, 0o600))
		}
		app.Database = filepath.Join(to, id+".db")
		app.Service.SetEnv("DATABASE_URL", "sqlite:"+app.Database)
		s.must(app.Service.Start(context.WithoutCancel(s.Context())))
	}
}

// withoutWrites runs do while the disk of the databases is full.
func (s *scene) withoutWrites(do func()) {
	s.Helper()
	ballast := filepath.Join(smallDisk(), "ballast")
	file, err := os.Create(ballast)
	s.must(err)
	defer func() { s.must(errors.Join(file.Close(), os.Remove(ballast))) }()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := file.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else {
			s.must(err)
		}
	}
	do()
}

// refusing runs do while a service's database refuses rows that a condition names, as a constraint would.
func (s *scene) refusing(id, table, event, condition string, do func()) {
	s.Helper()
	db, err := sql.Open("sqlite", "file:"+system.Apps[id].Database+"?_pragma=busy_timeout(10000)")
	s.must(err)
	defer db.Close()
	_, err = db.ExecContext(s.Context(), fmt.Sprintf(`CREATE TRIGGER refused_on_purpose BEFORE %s ON %s WHEN %s
		BEGIN SELECT RAISE(ABORT, 'refused on purpose'); END`, event, table, condition))
	s.must(err)
	defer func() {
		_, err := db.ExecContext(context.WithoutCancel(s.Context()), "DROP TRIGGER refused_on_purpose")
		s.must(err)
	}()
	do()
}

// lockedRows would lock a customer's rows, one by one. SQLite has no such locks.
func (*scene) lockedRows(int, *person, *person, []*person) {}

// elsewhere is trouble that only this profile knows: here, with the broker.
func elsewhere(_ *rand.Rand, _ string, lasts time.Duration) trouble {
	return trouble{"broker", "kill", lasts}
}

func (s *scene) causeElsewhere(t trouble) error { return fmt.Errorf("no %s here", t.target) }
