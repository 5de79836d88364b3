//go:build chaos && backends

package e2e_test

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/bankmore/bankmore/e2e/stack"
)

// servers are those outside of the stack.
func servers() map[string]stack.Server {
	all := map[string]stack.Server{}
	for _, name := range []string{"postgres", "redis", "kafka"} {
		all[name] = system.Backends.Server(name)
	}
	return all
}

// cut ends a service's connections between its transaction and the database's answer. If committed, COMMIT arrives and
// its answer does not.
func (s *scene) cut(id, function string, committed bool, do func()) {
	s.Helper()
	line := system.Apps[id].Line
	trap := s.arm(id, "commit.before", stack.Stall, function)
	do()
	s.must(trap.Reached(s.Context()))
	if !committed {
		s.must(line.Cut(s.Context()))
		s.must(trap.Release())
		return
	}
	answered := s.arm(id, "commit.after", stack.Stall, function)
	s.must(line.LoseAnswers())
	s.must(trap.Release())
	s.must(answered.Reached(s.Context()))
	s.must(line.Start(s.Context()))
	s.must(answered.Release())
}

// flush makes the state store forget everything.
func (s *scene) flush() {
	s.Helper()
	s.must(system.Backends.FlushRedis(s.Context()))
}

// forgetMemory loses the state store, and the cached balances with it.
func (s *scene) forgetMemory() {
	s.Helper()
	s.flush()
}

// lose loses the databases of services that do not run.
func (s *scene) lose(services ...string) {
	s.Helper()
	db, err := sql.Open("pgx", system.Backends.DatabaseURL(""))
	s.must(err)
	defer db.Close()
	for _, id := range services {
		_, err := db.ExecContext(s.Context(), "DROP SCHEMA "+strings.TrimSuffix(id, "-svc")+" CASCADE")
		s.must(err)
	}
}

// scratch is where verify restores a backup to.
func scratch() []string { return []string{"-scratch", os.Getenv("BACKENDS_POSTGRES_URL")} }

// withoutMemory runs do while there is no Redis.
func (s *scene) withoutMemory(do func()) {
	s.Helper()
	server := system.Backends.Server("redis")
	s.must(server.Kill())
	do()
	s.must(server.Start(s.Context()))
}

// disk is where writes can be refused; PostgreSQL does it itself.
func (*scene) disk() {}

// withoutWrites runs do while PostgreSQL takes no write.
func (s *scene) withoutWrites(do func()) {
	s.Helper()
	s.must(system.Backends.RefuseWrites(s.Context()))
	defer func() { s.must(system.Backends.AcceptWrites(context.WithoutCancel(s.Context()))) }()
	do()
}

// elsewhere is trouble that only this profile knows: with servers, and with the lines to PostgreSQL.
func elsewhere(random *rand.Rand, id string, lasts time.Duration) trouble {
	switch random.IntN(5) {
	case 0:
		return trouble{"postgres", "kill", lasts}
	case 1:
		return trouble{"postgres", "refuse writes", lasts}
	case 2:
		return trouble{id + " line", "cut", 0}
	case 3:
		return trouble{id + " line", "lose answers", lasts}
	default:
		return trouble{id + " line", "kill", lasts}
	}
}

func (s *scene) causeElsewhere(t trouble) error {
	ctx := s.Context()
	if t.target == "postgres" {
		if t.what == "kill" {
			return away(ctx, system.Backends.Server("postgres"), t.lasts)
		}
		err := system.Backends.RefuseWrites(ctx)
		time.Sleep(t.lasts)
		return errors.Join(err, system.Backends.AcceptWrites(context.WithoutCancel(ctx)))
	}
	line := system.Apps[base(t)].Line
	switch t.what {
	case "cut":
		return line.Cut(ctx)
	case "lose answers":
		err := line.LoseAnswers()
		time.Sleep(t.lasts)
		return errors.Join(err, line.Start(ctx))
	default:
		return away(ctx, line, t.lasts)
	}
}
