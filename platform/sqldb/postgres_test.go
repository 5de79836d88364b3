//go:build backends

package sqldb_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"maps"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bankmore/bankmore/platform/fault"
	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/platform/sqldb/sqldbtest"
)

// server returns a new PostgreSQL database with the migrations, and its URL.
func server(t *testing.T, parameters ...string) (*sqldb.DB, string) {
	t.Helper()
	rawURL := parametrized(t, sqldbtest.Postgres.URL(t), parameters...)
	db := sqldbtest.Reopen(t, rawURL)
	if err := db.Migrate(t.Context(), migrations); err != nil {
		t.Fatal(err)
	}
	return db, rawURL
}

// parametrized returns a URL with parameters, which are names and values by turns.
func parametrized(t *testing.T, rawURL string, parameters ...string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	for i := 0; i < len(parameters); i += 2 {
		query.Set(parameters[i], parameters[i+1])
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// update returns a statement that locks a parent's row.
func update(id string) string { return "UPDATE parents SET id = id WHERE id = '" + id + "'" }

func exec(ctx context.Context, tx *sql.Tx, statement string) error {
	_, err := tx.ExecContext(ctx, statement)
	return err
}

// Two transactions wait for each other. The server ends one of them, which runs again, and both succeed.
func TestDeadlockIsRepeated(t *testing.T) {
	db, _ := server(t)
	if err := db.InTx(t.Context(), add(t.Context(), "second")); err != nil {
		t.Fatal(err)
	}
	var runs atomic.Int32
	var both sync.WaitGroup // done when both transactions have their first lock
	both.Add(2)
	cross := func(first, second string) error {
		met := false
		return db.InTx(t.Context(), func(tx *sql.Tx) error {
			runs.Add(1)
			if err := exec(t.Context(), tx, update(first)); err != nil {
				return err
			}
			if !met {
				met = true
				both.Done()
				both.Wait()
			}
			return exec(t.Context(), tx, update(second))
		})
	}
	other := make(chan error, 1)
	go func() { other <- cross("first", "second") }()
	if err := errors.Join(cross("second", "first"), <-other); err != nil {
		t.Error(err)
	}
	if runs.Load() != 3 {
		t.Errorf("%d runs, want 3", runs.Load())
	}
}

// A transaction that fails with a serialization failure runs again.
func TestSerializationFailureIsRepeated(t *testing.T) {
	db, _ := server(t)
	runs := 0
	err := db.InTx(t.Context(), func(tx *sql.Tx) error {
		runs++
		if err := exec(t.Context(), tx, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"); err != nil {
			return err
		}
		if err := exec(t.Context(), tx, "SELECT count(*) FROM parents"); err != nil {
			return err
		}
		if runs == 1 {
			err := db.InTx(t.Context(), func(other *sql.Tx) error { return exec(t.Context(), other, update("first")) })
			if err != nil {
				t.Error(err)
			}
		}
		return exec(t.Context(), tx, update("first"))
	})
	if err != nil || runs != 2 {
		t.Errorf("%v after %d runs, want success after 2", err, runs)
	}
}

// A transaction that always meets a conflict is given up after maxAttempts, with an error of kind Unavailable.
func TestConflictsAreNotRepeatedForEver(t *testing.T) {
	db, _ := server(t)
	runs := 0
	err := db.InTx(t.Context(), func(*sql.Tx) error {
		runs++
		return &pgconn.PgError{Code: "40001"}
	})
	if fault.From(err).Kind != fault.Unavailable || runs != 5 {
		t.Errorf("%v after %d runs", err, runs)
	}
}

func TestTimeouts(t *testing.T) {
	db, rawURL := server(t, "statement_timeout", "500ms", "lock_timeout", "100ms")
	hold := func(statement string) func(*sql.Tx) error {
		return func(tx *sql.Tx) error { return exec(t.Context(), tx, statement) }
	}
	if err := db.InTx(t.Context(), hold("SELECT pg_sleep(30)")); fault.From(err).Kind != fault.Unavailable || !state(err, "57014") {
		t.Errorf("a long statement: %v", err)
	}
	err := db.InTx(t.Context(), func(tx *sql.Tx) error {
		if err := exec(t.Context(), tx, update("first")); err != nil {
			return err
		}
		if err := db.InTx(t.Context(), hold(update("first"))); fault.From(err).Kind != fault.Unavailable || !state(err, "55P03") {
			t.Errorf("a lock that is not had: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	// Verify on a database opened for reading has no time limit.
	patient := sqldbtest.Look(t, rawURL)
	slow := sqldb.Invariant{Name: "slow", Query: "SELECT 'x' FROM pg_sleep(0.8) WHERE false"}
	if err := patient.Verify(t.Context(), new(bytes.Buffer), []sqldb.Invariant{slow}); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

func state(err error, code string) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && server.Code == code
}

// The server ends every connection, as in a restart. The next transactions and queries succeed.
func TestPoolRecovers(t *testing.T) {
	db, rawURL := server(t)
	for range 3 {
		var all sync.WaitGroup
		for range 8 { // so that the pool holds several connections
			all.Go(func() {
				if err := db.InTx(t.Context(), func(tx *sql.Tx) error { return exec(t.Context(), tx, "SELECT pg_sleep(0.05)") }); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		terminateOthers(t, rawURL)
		for range 8 {
			if err := db.InTx(t.Context(), func(tx *sql.Tx) error { return exec(t.Context(), tx, update("first")) }); err != nil {
				t.Errorf("a write after the connections were lost: %v", err)
			}
			parents(t, db)
		}
	}
}

func terminateOthers(t *testing.T, rawURL string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), rawURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	if err != nil {
		t.Fatal(err)
	}
}

// An index that is built concurrently waits for older snapshots, such as that of a backup, for longer than lock_timeout. An
// invalid index that an earlier try has left behind is no obstacle. (docs/adr/0010 prescribes this form.)
func TestConcurrentIndex(t *testing.T) {
	db, rawURL := server(t, "lock_timeout", "100ms")
	conn, err := pgx.Connect(t.Context(), rawURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE INDEX parents_twice ON parents (id)"); err != nil {
		t.Fatal(err)
	}
	snapshot, err := conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := snapshot.Exec(t.Context(), "SELECT * FROM parents"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		time.Sleep(500 * time.Millisecond)
		ended <- snapshot.Rollback(t.Context())
	}()
	next := fstest.MapFS{"postgres/00003_index.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\n" +
		"SET lock_timeout = 0;\nDROP INDEX CONCURRENTLY IF EXISTS parents_twice;\nCREATE INDEX CONCURRENTLY parents_twice ON parents (id);\n")}}
	maps.Copy(next, migrations)
	if err := errors.Join(db.Migrate(t.Context(), next), <-ended); err != nil {
		t.Fatal(err)
	}
	var valid bool
	if err := conn.QueryRow(t.Context(), "SELECT indisvalid FROM pg_index WHERE indexrelid = 'parents_twice'::regclass").Scan(&valid); err != nil || !valid {
		t.Errorf("the index is valid: %v, %v", valid, err)
	}
}

// The server disappears without closing its connections, as in a failover, and another one takes its place: old connections
// never answer. The first caller waits until its deadline; the next callers get new connections.
func TestSilentConnectionsAreReplaced(t *testing.T) {
	_, rawURL := server(t, "sslmode", "disable")
	cutter := listen(t, rawURL, cut{})
	db := sqldbtest.Reopen(t, cutter.url)
	var all sync.WaitGroup
	for range 8 { // so that the pool holds several connections
		all.Go(func() {
			if err := db.InTx(t.Context(), func(tx *sql.Tx) error { return exec(t.Context(), tx, "SELECT pg_sleep(0.05)") }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	cutter.silence()
	write := func(limit time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		return db.InTx(ctx, func(tx *sql.Tx) error { return exec(ctx, tx, update("first")) })
	}
	if err := write(time.Second); fault.From(err).Kind != fault.Unavailable {
		t.Errorf("without an answer: %v", err)
	}
	for range 10 {
		if err := write(5 * time.Second); err != nil {
			t.Errorf("after that: %v", err)
		}
	}
}

// If the connection is lost before the commit, the transaction has had no effect, so it runs again. If the connection is
// lost during the commit, the outcome is unknown: the caller gets an error, and finds out by its key.
func TestConnectionCutAtCommit(t *testing.T) {
	for name, test := range map[string]struct {
		cut  cut
		runs int32
		kept int
		ok   bool
	}{
		"before the transaction's statement": {cut{before: "INSERT INTO parents"}, 2, 1, true},
		"before COMMIT":                      {cut{before: "commit"}, 1, 0, false},
		"after COMMIT":                       {cut{after: "commit"}, 1, 1, false},
	} {
		for _, way := range []string{"InTx", "InPipeline"} {
			t.Run(name+" "+way, func(t *testing.T) {
				direct, rawURL := server(t, "sslmode", "disable")
				cutter := listen(t, rawURL, test.cut)
				db := sqldbtest.Reopen(t, cutter.url)
				var runs atomic.Int32
				var err error
				if way == "InTx" {
					err = db.InTx(t.Context(), func(tx *sql.Tx) error {
						runs.Add(1)
						return add(t.Context(), "x")(tx)
					})
				} else {
					err = db.InPipeline(t.Context(), func(p *sqldb.Pipeline) error {
						runs.Add(1)
						batch := p.Batch()
						batch.Queue("INSERT INTO parents (id) VALUES ($1)", "x")
						return p.Send(t.Context(), batch)
					})
				}
				if (err == nil) != test.ok || (err != nil && fault.From(err).Kind != fault.Unavailable) {
					t.Errorf("answered %v", err)
				}
				if got := strings.Count(parents(t, direct), "x"); got != test.kept || runs.Load() != test.runs {
					t.Errorf("%d rows after %d runs, want %d after %d", got, runs.Load(), test.kept, test.runs)
				}
			})
		}
	}
}

// cut says when a connection is lost, once: before a message that contains a text reaches the server, or after the message
// has taken effect and before its answer.
type cut struct{ before, after string }

type cutter struct {
	url    string
	target string
	cut    cut
	done   atomic.Bool
	silent atomic.Pointer[chan struct{}] // once it is closed, the connections opened until then relay nothing any more
}

// silence stops all present connections from relaying, without closing them. Later connections work.
func (c *cutter) silence() {
	next := make(chan struct{})
	close(*c.silent.Swap(&next))
}

func listen(t *testing.T, rawURL string, cut cut) *cutter {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{target: u.Host, cut: cut}
	speaking := make(chan struct{})
	c.silent.Store(&speaking)
	u.Host = listener.Addr().String()
	c.url = u.String()
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Go(func() { c.relay(t, client) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		connections.Wait()
	})
	return c
}

func (c *cutter) relay(t *testing.T, client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.target)
	if err != nil {
		t.Error(err)
		return
	}
	defer server.Close()
	silent := *c.silent.Load()
	muted := func() bool {
		select {
		case <-silent:
			return true
		default:
			return false
		}
	}
	var answers sync.WaitGroup
	var deaf atomic.Bool
	answers.Go(func() {
		defer client.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			if err != nil || deaf.Load() {
				return
			}
			if muted() {
				continue
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	defer answers.Wait()
	defer server.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if muted() {
			continue
		}
		message := strings.ToLower(string(buffer[:n]))
		if c.holds(message, c.cut.before) {
			return
		}
		last := c.holds(message, c.cut.after)
		deaf.Store(last)
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
		if last {
			answers.Wait() // until the server has committed, and says so
			return
		}
	}
}

// holds reports whether the proxy has to cut the connection at this message.
func (c *cutter) holds(message, text string) bool {
	return text != "" && strings.Contains(message, strings.ToLower(text)) && c.done.CompareAndSwap(false, true)
}
