//go:build chaos && backends

package e2e_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

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

// refusing runs do while a service's tables refuse rows that a condition names, as a constraint would.
func (s *scene) refusing(id, table, event, condition string, do func()) {
	s.Helper()
	conn, err := pgx.Connect(s.Context(), system.Backends.DatabaseURL(id))
	s.must(err)
	defer conn.Close(context.WithoutCancel(s.Context()))
	_, err = conn.Exec(s.Context(), fmt.Sprintf(`
		CREATE FUNCTION refused_on_purpose() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN RAISE EXCEPTION 'refused on purpose' USING ERRCODE = 'check_violation'; END $$;
		CREATE TRIGGER refused_on_purpose BEFORE %s ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION refused_on_purpose()`, event, table, condition))
	s.must(err)
	defer func() {
		_, err := conn.Exec(context.WithoutCancel(s.Context()), "DROP FUNCTION refused_on_purpose CASCADE")
		s.must(err)
	}()
	do()
}

// foreignLock is how long a session that is none of ours holds a row.
const foreignLock = 10 * time.Second

// lockedRows has a foreign session lock a row of a customer for a while: in turn that of her account, and that of a
// transfer which has still to be credited. Her commands press on, and others' go on.
func (s *scene) lockedRows(n int, vera, bia *person, crowd []*person) {
	s.Helper()
	if n%2 == 0 {
		s.locked("account.accounts WHERE number = $1", vera.Number, func() {
			s.press(crowd, foreignLock, s.withdrawal(vera, "1.00"), s.transfer(vera, bia, "1.00"))
		})
		return
	}
	f := s.transfer(vera, bia, "1.00")
	held := s.arm("transfer-svc", "recorded.DEBITED", stack.Stall, byRequest)
	s.launch(f)
	s.must(held.Reached(s.Context()))
	s.locked("transfer.transfers WHERE request_id = $1", f.key, func() {
		s.must(held.Release())
		s.press(crowd, foreignLock, f)
	})
}

// locked runs do while a foreign session holds rows.
func (s *scene) locked(rows, argument string, do func()) {
	s.Helper()
	conn, err := pgx.Connect(s.Context(), system.Backends.DatabaseURL(""))
	s.must(err)
	defer conn.Close(context.WithoutCancel(s.Context())) // which gives the rows back
	_, err = conn.Exec(s.Context(), "BEGIN")
	s.must(err)
	tag, err := conn.Exec(s.Context(), "SELECT 1 FROM "+rows+" FOR UPDATE", argument)
	s.must(err)
	if tag.RowsAffected() != 1 {
		s.Fatalf("%d rows of %s are locked, not one", tag.RowsAffected(), rows)
	}
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
