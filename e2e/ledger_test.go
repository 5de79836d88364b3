package e2e_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"
)

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
		WHERE status = 'PENDING' AND (account_number NOT IN (SELECT account_number FROM fee.debtors WHERE waits)
			OR transfer_id IN (SELECT transfer_id FROM account.movements WHERE kind = 'fee'))`

// settle waits until nothing is on its way any more.
func settle(t *testing.T) {
	t.Helper()
	if err := settledWithin(t, 60*time.Second); err != nil {
		t.Fatal(err)
	}
}

func settledWithin(t *testing.T, limit time.Duration) error {
	t.Helper()
	conn := openBooks(t)
	defer conn.Close()
	return within(limit, func() error {
		waiting, err := lines(t.Context(), conn, unsettled)
		if err == nil && len(waiting) > 0 {
			err = fmt.Errorf("%d things on their way, such as: %s", len(waiting), waiting[0])
		}
		return err
	})
}

// conservation is what must hold of money at rest, each with a query for violations.
var conservation = []struct{ name, query string }{
	{"an account has the sum of its movements and is not negative", `
		SELECT a.number || ' has ' || a.balance || ', its movements ' || coalesce(m.total, 0) FROM account.accounts a
		LEFT JOIN (SELECT account_id, sum(CASE type WHEN 'C' THEN amount ELSE -amount END) AS total FROM account.movements GROUP BY account_id) m
			ON m.account_id = a.id
		WHERE a.balance <> coalesce(m.total, 0) OR a.balance < 0`},
	{"no movement has left an account negative", `
		SELECT a.number || ' had ' || m.balance_after FROM account.movements m JOIN account.accounts a ON a.id = m.account_id
		WHERE m.balance_after < 0`},
	{"customers and internal accounts add up to zero", `
		SELECT customers || ' and ' || internal FROM
			(SELECT coalesce(sum(balance), 0) AS customers FROM account.accounts) AS c,
			(SELECT coalesce(sum(total), 0) AS internal FROM
				(SELECT contra, sum(CASE type WHEN 'C' THEN -amount ELSE amount END) AS total FROM account.movements GROUP BY contra) AS t) AS i
		WHERE customers + internal <> 0`},
	{"no money is in transit", `
		SELECT total FROM (SELECT sum(CASE type WHEN 'C' THEN amount ELSE -amount END) AS total FROM account.movements WHERE contra = 'transit') AS t
		WHERE total <> 0`},
	{"a completed transfer is one debit of its origin and one credit of its destination", `
		WITH legs AS (
			SELECT m.transfer_id, a.number, m.counterparty, m.amount, m.type FROM account.movements m JOIN account.accounts a ON a.id = m.account_id
			WHERE m.kind = 'transfer'
			UNION ALL SELECT id, origin_account_number, destination_account_number, -amount, 'D' FROM transfer.transfers WHERE state = 'COMPLETED'
			UNION ALL SELECT id, destination_account_number, origin_account_number, -amount, 'C' FROM transfer.transfers WHERE state = 'COMPLETED')
		SELECT transfer_id || ' ' || type || ' of ' || number || ': ' || sum(amount) || ' from ' || count(*) || ' rows' FROM legs
		WHERE transfer_id NOT IN (SELECT id FROM transfer.transfers WHERE state = 'FAILED')
		GROUP BY transfer_id, number, counterparty, type HAVING count(*) <> 2 OR sum(amount) <> 0`},
	{"a failed transfer has moved nothing, or has been refunded", `
		SELECT t.id || ': ' || string_agg(m.kind || ' ' || m.type, ',') FROM account.movements m JOIN transfer.transfers t ON t.id = m.transfer_id
		WHERE t.state = 'FAILED' GROUP BY t.id
		HAVING count(*) <> 2 OR count(CASE WHEN m.kind = 'transfer' AND m.type = 'D' THEN 1 END) <> 1
			OR count(CASE WHEN m.kind = 'refund' AND m.type = 'C' THEN 1 END) <> 1
			OR count(DISTINCT m.amount) <> 1 OR count(DISTINCT m.account_id) <> 1`},
	{"only a failed transfer is refunded", `
		SELECT id || ' of ' || transfer_id FROM account.movements
		WHERE kind = 'refund' AND transfer_id NOT IN (SELECT id FROM transfer.transfers WHERE state = 'FAILED')`},
	{"a completed transfer, and no other, has one fee, of its origin", `
		WITH sides AS (
			SELECT id AS transfer_id, origin_account_number AS number, 1 AS side FROM transfer.transfers WHERE state = 'COMPLETED'
			UNION ALL SELECT transfer_id, account_number, -1 FROM fee.fees)
		SELECT transfer_id || ' of ' || number || ': ' || count(*) || ' rows' FROM sides
		GROUP BY transfer_id, number HAVING count(*) <> 2 OR sum(side) <> 0`},
	{"a charged fee, and no other, is one movement", `
		WITH sides AS (
			SELECT transfer_id, account_number AS number, amount FROM fee.fees WHERE status = 'CHARGED'
			UNION ALL SELECT m.transfer_id, a.number, -m.amount FROM account.movements m JOIN account.accounts a ON a.id = m.account_id
				WHERE m.kind = 'fee' AND m.type = 'D')
		SELECT transfer_id || ' of ' || number || ': ' || count(*) || ' rows, ' || sum(amount) FROM sides
		GROUP BY transfer_id, number HAVING count(*) <> 2 OR sum(amount) <> 0`},
}

// checkLedger waits until nothing is on its way and then checks that money was neither made nor lost.
func checkLedger(t *testing.T) {
	t.Helper()
	if t.Failed() {
		return // what is wrong has been said; the checks below would only wait for it
	}
	settle(t)
	for _, broken := range brokenLaws(t) {
		t.Error(broken)
	}
}

// brokenLaws tells of each law of conservation that does not hold.
func brokenLaws(t *testing.T) (broken []string) {
	t.Helper()
	conn := openBooks(t)
	defer conn.Close()
	for _, law := range conservation {
		violations, err := lines(t.Context(), conn, law.query)
		if err != nil {
			t.Fatal(err)
		}
		if len(violations) > 0 {
			broken = append(broken, fmt.Sprintf("%s: %d violations: %s", law.name, len(violations), strings.Join(violations[:min(5, len(violations))], "; ")))
		}
	}
	return broken
}
