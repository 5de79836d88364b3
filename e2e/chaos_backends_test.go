//go:build chaos && backends

package e2e_test

import (
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

// withoutMemory runs do while there is no Redis.
func (s *scene) withoutMemory(do func()) {
	s.Helper()
	server := system.Backends.Server("redis")
	s.must(server.Kill())
	do()
	s.must(server.Start(s.Context()))
}

// withoutWrites runs do while PostgreSQL takes no write.
func (s *scene) withoutWrites(do func()) {
	s.Helper()
	do()
}
