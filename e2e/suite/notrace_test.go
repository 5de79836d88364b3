package suite_test

import (
	"testing"

	"github.com/bankmore/bankmore/e2e/bank"
)

// rowCounts is how many rows each table of each database has.
func rowCounts(t *testing.T) map[string]int {
	t.Helper()
	conn := system.OpenBooks(t)
	defer conn.Close()
	counts := map[string]int{}
	for _, schema := range []string{"account", "transfer", "fee"} {
		tables, err := bank.Lines(t.Context(), conn, system.Tables(schema))
		if err != nil || len(tables) == 0 {
			t.Fatalf("%s: %d tables, %v", schema, len(tables), err)
		}
		for _, table := range tables {
			var n int
			if err := conn.QueryRowContext(t.Context(), "SELECT count(*) FROM "+schema+"."+table).Scan(&n); err != nil {
				t.Fatal(err)
			}
			counts[schema+"."+table] = n
		}
	}
	return counts
}

// leavesNoTrace runs do and checks that no table of any database has grown or shrunk.
func leavesNoTrace(t *testing.T, do func()) {
	t.Helper()
	system.Settle(t)
	before := rowCounts(t)
	do()
	system.Settle(t)
	for table, n := range rowCounts(t) {
		if n != before[table] {
			t.Errorf("%s had %d rows and has %d", table, before[table], n)
		}
	}
}
