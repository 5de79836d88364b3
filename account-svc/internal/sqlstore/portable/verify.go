package portable

import (
	"context"
	"io"
	"time"

	"github.com/bankmore/bankmore/platform/sqldb"
)

// DuplicateRequests is answered by the index of request_key alone, in its order: the database sorts nothing and reads hardly a
// row.
const DuplicateRequests = `
	SELECT 'request ' || request_key || ' has ' || count(*) || ' movements' FROM movements GROUP BY request_key HAVING count(*) > 1`

// invariants hold at every moment, whatever is in flight. A warning among them asks an operator to act.
var invariants = []sqldb.Invariant{
	{Name: "no balance is negative", Query: `
		SELECT 'account ' || number || ' has ' || balance FROM accounts WHERE balance < 0`},
	{Name: "balance is the sum of the movements",
		Also: []string{
			"movements are numbered without a gap", "each movement continues the balance before it", "no movement leaves a negative balance",
			"a movement has its account",
		},
		Query: `
		WITH m AS MATERIALIZED (
			SELECT account_id, sum(change) AS total, count(*) AS n, max(seq) AS last, min(balance_after) AS least,
				count(CASE WHEN seq <> seq_before + 1 THEN seq END) AS misplaced,
				count(CASE WHEN balance_after <> before + change THEN seq END) AS broken,
				min(CASE WHEN balance_after <> before + change THEN seq END) AS first_broken
			FROM (
				SELECT account_id, seq, balance_after, CASE type WHEN 'C' THEN amount ELSE -amount END AS change,
					lag(balance_after, 1, 0) OVER in_order AS before, lag(seq, 1, 0) OVER in_order AS seq_before
				FROM movements WINDOW in_order AS (PARTITION BY account_id ORDER BY seq)
			) each_after_another
			GROUP BY account_id
		)
		SELECT
			CASE WHEN a.balance <> coalesce(m.total, 0) THEN
				'account ' || a.number || ' has ' || a.balance || ', its movements ' || coalesce(m.total, 0) END,
			CASE WHEN a.version <> coalesce(m.n, 0) OR a.version <> coalesce(m.last, 0) OR m.misplaced > 0 THEN
				'account ' || a.number || ' has version ' || a.version || ' and ' || coalesce(m.n, 0) || ' movements up to ' || coalesce(m.last, 0) ||
				', of which ' || coalesce(m.misplaced, 0) || ' do not follow the number before' END,
			CASE WHEN m.broken > 0 THEN
				'account ' || a.number || ' has ' || m.broken || ' movements that do not, the first is number ' || m.first_broken END,
			CASE WHEN m.least < 0 THEN 'account ' || a.number || ' once had ' || m.least END,
			NULL
		FROM accounts a LEFT JOIN m ON m.account_id = a.id
		WHERE a.balance <> coalesce(m.total, 0) OR a.version <> coalesce(m.n, 0) OR a.version <> coalesce(m.last, 0) OR
			m.misplaced > 0 OR m.broken > 0 OR m.least < 0
		UNION ALL -- a FULL JOIN would compare each with each on SQLite
		SELECT NULL, NULL, NULL, NULL, m.n || ' movements are of account ' || m.account_id || ', which does not exist'
		FROM m LEFT JOIN accounts a ON a.id = m.account_id WHERE a.id IS NULL`},
	{Name: "a request moves money once", Query: DuplicateRequests},
	{Name: "the kind decides contra and type", Query: `
		SELECT 'movement ' || id || ' is ' || kind || ' ' || type || ' against ' || contra FROM movements
		WHERE kind || ' ' || type || ' ' || contra NOT IN ('deposit C cash', 'withdrawal D cash', 'transfer D transit',
			'transfer C transit', 'refund C transit', 'fee D fee-revenue')`},
	{Name: "a refused request moved nothing", Query: `
		SELECT 'request ' || r.request_key || ' was refused and has movement ' || m.id
		FROM refusals r JOIN movements m ON m.request_key = r.request_key`},
	{Name: "a transfer is debited once, then credited or refunded, never both", Also: []string{"a transfer pays at most one fee"}, Query: `
		SELECT
			CASE WHEN legs > 0 AND (debits <> 1 OR legs > 2 OR least_leg <> greatest_leg) THEN
				'transfer ' || transfer_id || ' has ' || debits || ' debits, ' || credits || ' credits, ' || (legs - debits - credits) ||
				' refunds, from ' || least_leg || ' to ' || greatest_leg END,
			CASE WHEN fees > 1 THEN 'transfer ' || transfer_id || ' paid ' || fees || ' fees' END
		FROM (
			SELECT transfer_id,
				count(CASE WHEN kind <> 'fee' THEN 1 END) AS legs,
				count(CASE WHEN kind = 'transfer' AND type = 'D' THEN 1 END) AS debits,
				count(CASE WHEN kind = 'transfer' AND type = 'C' THEN 1 END) AS credits,
				count(CASE WHEN kind = 'fee' THEN 1 END) AS fees,
				min(CASE WHEN kind <> 'fee' THEN amount END) AS least_leg,
				max(CASE WHEN kind <> 'fee' THEN amount END) AS greatest_leg
			FROM movements WHERE kind IN ('transfer', 'refund', 'fee') GROUP BY transfer_id
		) t
		WHERE legs > 0 AND (debits <> 1 OR legs > 2 OR least_leg <> greatest_leg) OR fees > 1`},
	{Name: "a closed account holds no money", Warning: true, Query: `
		SELECT 'account ' || number || ' holds ' || balance FROM accounts WHERE deactivated_at IS NOT NULL AND balance <> 0`},
}

// Verify checks the ledger's invariants and writes what violates them to out. A closed account that holds money, such as a
// refund that came after the closing, is only a warning.
func (s Store) Verify(ctx context.Context, out io.Writer, _ time.Duration) error {
	return s.db.Verify(ctx, out, invariants)
}
