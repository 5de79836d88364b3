package e2e_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver that the services use
)

// openBooks opens the three databases read-only as account, transfer and fee, so that one query can compare them.
func openBooks(t *testing.T) *sql.Conn {
	t.Helper()
	uri := func(id string) string {
		return "file:" + (&url.URL{Path: system.Apps[id].Database}).EscapedPath() + "?mode=ro&_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open("sqlite", uri("account-svc"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"transfer-svc", "fee-svc"} {
		if _, err := conn.ExecContext(t.Context(), "ATTACH $1 AS $2", uri(id), strings.TrimSuffix(id, "-svc")); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

// lines runs a query of one text column.
func lines(ctx context.Context, conn *sql.Conn, query string, args ...any) ([]string, error) {
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("%w in %s", err, query)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		out = append(out, line)
	}
	return out, rows.Err()
}

// unsettled finds what is still on its way. A fee may wait for money as long as it takes.
const unsettled = `
	SELECT 'transfer ' || id || ' is ' || state FROM transfer.transfers WHERE state NOT IN ('COMPLETED', 'FAILED')
	UNION ALL SELECT 'event ' || id || ' is not published' FROM transfer.outbox
	UNION ALL SELECT 'event ' || id || ' is not published' FROM fee.outbox
	UNION ALL SELECT 'transfer ' || id || ' has no fee' FROM transfer.transfers
		WHERE state = 'COMPLETED' AND id NOT IN (SELECT transfer_id FROM fee.fees)
	UNION ALL SELECT 'fee ' || id || ' is not collected' FROM fee.fees
		WHERE status = 'PENDING' AND reason <> 'INSUFFICIENT_BALANCE'`

// settle waits until nothing is on its way any more.
func settle(t *testing.T) {
	t.Helper()
	conn := openBooks(t)
	defer conn.Close()
	eventually(t, 60*time.Second, func() error {
		waiting, err := lines(t.Context(), conn, unsettled)
		if err == nil && len(waiting) > 0 {
			err = fmt.Errorf("%d things on their way, such as: %s", len(waiting), waiting[0])
		}
		return err
	})
}

// conservation is what must hold of money at rest, each with a query for violations.
var conservation = []struct{ name, query string }{
	{"an account has the sum of its movements and is never negative", `
		SELECT a.number || ' has ' || a.balance || ', its movements ' || coalesce(m.total, 0) FROM main.accounts a
		LEFT JOIN (SELECT account_id, sum(iif(type = 'C', amount, -amount)) AS total FROM main.movements GROUP BY account_id) m
			ON m.account_id = a.id
		WHERE a.balance <> coalesce(m.total, 0) OR a.balance < 0`},
	{"customers and internal accounts add up to zero", `
		SELECT customers || ' and ' || internal FROM
			(SELECT coalesce(sum(balance), 0) AS customers FROM main.accounts),
			(SELECT coalesce(sum(total), 0) AS internal FROM
				(SELECT contra, sum(iif(type = 'C', -amount, amount)) AS total FROM main.movements GROUP BY contra))
		WHERE customers + internal <> 0`},
	{"no money is in transit", `
		SELECT total FROM (SELECT sum(iif(type = 'C', amount, -amount)) AS total FROM main.movements WHERE contra = 'transit')
		WHERE total <> 0`},
	{"a completed transfer is one debit and one credit", `
		SELECT t.id || ': ' || count(m.id) || ' movements' FROM transfer.transfers t
		LEFT JOIN main.movements m ON m.transfer_id = t.id AND m.kind = 'transfer' AND m.amount = t.amount
		LEFT JOIN main.accounts a ON a.id = m.account_id
		WHERE t.state = 'COMPLETED' GROUP BY t.id
		HAVING count(m.id) <> 2
			OR sum(iif(m.type = 'D' AND a.number = t.origin_account_number AND m.counterparty = t.destination_account_number, 1, 0)) <> 1
			OR sum(iif(m.type = 'C' AND a.number = t.destination_account_number AND m.counterparty = t.origin_account_number, 1, 0)) <> 1`},
	{"a failed transfer has moved nothing, or has been refunded", `
		SELECT t.id || ': ' || group_concat(m.kind || ' ' || m.type) FROM transfer.transfers t
		JOIN main.movements m ON m.transfer_id = t.id WHERE t.state = 'FAILED' GROUP BY t.id
		HAVING count(*) <> 2 OR sum(m.kind = 'transfer' AND m.type = 'D') <> 1 OR sum(m.kind = 'refund' AND m.type = 'C') <> 1
			OR count(DISTINCT m.amount) <> 1 OR count(DISTINCT m.account_id) <> 1`},
	{"a movement of a transfer belongs to one", `
		SELECT m.id || ' of ' || m.transfer_id FROM main.movements m LEFT JOIN transfer.transfers t ON t.id = m.transfer_id
		WHERE m.kind IN ('transfer', 'refund') AND t.id IS NULL`},
	{"a completed transfer, and no other, has one fee, of its origin", `
		SELECT coalesce(t.id, f.transfer_id) || ': ' || count(f.id) || ' fees' FROM transfer.transfers t
		FULL JOIN fee.fees f ON f.transfer_id = t.id
		WHERE t.state = 'COMPLETED' OR f.id IS NOT NULL GROUP BY coalesce(t.id, f.transfer_id)
		HAVING count(f.id) <> 1 OR max(t.state) <> 'COMPLETED' OR max(t.origin_account_number) <> max(f.account_number)
			OR count(t.id) <> 1`},
	{"a charged fee, and no other, is one movement", `
		SELECT coalesce(f.transfer_id, m.transfer_id) || ': ' || count(m.id) || ' movements' FROM fee.fees f
		FULL JOIN main.movements m ON m.transfer_id = f.transfer_id AND m.kind = 'fee'
		WHERE f.status = 'CHARGED' OR m.kind = 'fee' GROUP BY coalesce(f.transfer_id, m.transfer_id)
		HAVING count(m.id) <> 1 OR max(f.status) <> 'CHARGED' OR max(f.amount) <> max(m.amount) OR count(f.id) <> 1`},
}

// checkLedger waits until nothing is on its way and then checks that money was neither made nor lost.
func checkLedger(t *testing.T) {
	t.Helper()
	if t.Failed() {
		return // what is wrong has been said; the checks below would only wait for it
	}
	settle(t)
	conn := openBooks(t)
	defer conn.Close()
	for _, law := range conservation {
		violations, err := lines(t.Context(), conn, law.query)
		if err != nil {
			t.Fatal(err)
		}
		if len(violations) > 0 {
			t.Errorf("%s: %d violations: %s", law.name, len(violations), strings.Join(violations[:min(5, len(violations))], "; "))
		}
	}
}

// rowCounts is how many rows each table of each database has.
func rowCounts(t *testing.T) map[string]int {
	t.Helper()
	conn := openBooks(t)
	defer conn.Close()
	counts := map[string]int{}
	for _, schema := range []string{"main", "transfer", "fee"} {
		tables, err := lines(t.Context(), conn, "SELECT name FROM "+schema+".sqlite_schema WHERE type = 'table'")
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
	settle(t)
	before := rowCounts(t)
	do()
	settle(t)
	for table, n := range rowCounts(t) {
		if n != before[table] {
			t.Errorf("%s had %d rows and has %d", table, before[table], n)
		}
	}
}
