//go:build backends

package sqldbtest

import (
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/bankmore/bankmore/platform/sqldb"
)

const (
	// Grown is how many rows the statements of an Outgrown add.
	Grown = 20_000
	// rounds is how often Use runs before the tables grow and after. PostgreSQL decides about the generic plan of a prepared
	// statement after five executions.
	rounds = 10
	// readable is how many rows of each table and index one round may read. Entries of an index that are dead count as well,
	// and autovacuum is off.
	readable = 8000
	// readableBlocks is how many blocks of each index one round may read. A scan of a whole index that looks for a column which is
	// not the index's first counts as the rows that it finds, and shows in the blocks only.
	readableBlocks = 2000
)

// Outgrown is a store whose tables grow after PostgreSQL has planned its statements.
type Outgrown struct {
	Migrations fs.FS
	// Grow are statements that add Grown rows to the large tables.
	Grow []string
	// Use makes a store of the database and returns a function that runs each of its frequent statements once. round is
	// different in each call.
	Use func(t *testing.T, db *sqldb.DB) func(round int)
	// Keep returns statements that leave n rows in the tables whose rows Use adds and deletes again. Without them, PostgreSQL
	// would always find these tables empty when it makes statistics. Rounds of Use do not touch these rows. It may be nil.
	Keep func(n int) []string
}

// ReadsByKey shows that a session which was open before the tables grew reads only the rows that it needs afterwards, although
// no ANALYZE has run since: neither a whole table nor a whole index.
func (o Outgrown) ReadsByKey(t *testing.T) {
	const analyze = "VACUUM ANALYZE"
	type test struct{ before, after []string } // statements before the first rounds, and after them
	tests := map[string]test{
		"without statistics":              {},
		"with statistics of empty tables": {before: []string{analyze}},
		"with statistics of a few rows":   {after: []string{analyze}},
	}
	if o.Keep != nil {
		for _, n := range []int{1, 5} {
			tests[fmt.Sprintf("with statistics of %d that stay", n)] = test{after: append(o.Keep(n), analyze)}
		}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { o.readsByKey(t, test.before, test.after) })
	}
}

func (o Outgrown) readsByKey(t *testing.T, before, after []string) {
	u, err := url.Parse(Postgres.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := Reopen(t, u.String()).Migrate(t.Context(), o.Migrations); err != nil {
		t.Fatal(err)
	}
	other, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(t.Context())
	execute := func(statements ...string) {
		t.Helper()
		for _, statement := range statements {
			if _, err := other.Exec(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
	tables, err := pgx.CollectRows(must(t)(other.Query(t.Context(), "SELECT relname::text FROM pg_stat_user_tables")), pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		execute("ALTER TABLE " + pgx.Identifier{table}.Sanitize() + " SET (autovacuum_enabled = off)")
	}
	query := u.Query()
	query.Set("pool_max_conns", "1") // so that all statements have their plans in one session
	u.RawQuery = query.Encode()
	db := Reopen(t, u.String())
	use, round := o.Use(t, db), 0
	several := func() {
		for range rounds {
			use(round)
			round++
		}
	}
	execute(before...)
	several()
	execute(after...)
	several()
	execute(o.Grow...)
	was := o.read(t, db, other)
	several()
	var found []string
	for name, is := range o.read(t, db, other) {
		rows, blocks := (is.rows-was[name].rows)/rounds, (is.blocks-was[name].blocks)/rounds
		if rows > readable || blocks > readableBlocks {
			found = append(found, fmt.Sprintf("%d rows and %d blocks of %s", rows, blocks, name))
		}
	}
	if len(found) > 0 {
		t.Errorf("a round has read %s; want at most %d rows and %d blocks", strings.Join(found, ", "), readable, readableBlocks)
	}
}

// count is what has been read of a table or by an index. The blocks of tables are not counted.
type count struct{ rows, blocks int }

// read returns what has been read of each table and by each index, since the database was made.
func (o Outgrown) read(t *testing.T, db *sqldb.DB, other *pgx.Conn) map[string]count {
	t.Helper()
	// Both sessions tell the server now what they have counted. Otherwise each would when its own second has passed, and what
	// Grow has read would count as read by a round.
	const flush = "SELECT pg_stat_force_next_flush()"
	if _, err := db.Read().ExecContext(t.Context(), flush); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), flush); err != nil {
		t.Fatal(err)
	}
	counts := map[string]count{}
	var name string
	var one count
	_, err := pgx.ForEachRow(must(t)(other.Query(t.Context(), `
		SELECT relname, seq_tup_read, 0 FROM pg_stat_user_tables
		UNION ALL SELECT indexrelname, idx_tup_read, idx_blks_read + idx_blks_hit
		FROM pg_stat_user_indexes JOIN pg_statio_user_indexes USING (indexrelid, indexrelname)`)), []any{&name, &one.rows, &one.blocks}, func() error {
		counts[name] = one
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

func must(t *testing.T) func(pgx.Rows, error) pgx.Rows {
	return func(rows pgx.Rows, err error) pgx.Rows {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
}
