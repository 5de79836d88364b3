package sqlstore

import (
	"context"
	"io"

	"github.com/bankmore/bankmore/platform/sqldb"
)

// invariants hold at every moment, whatever is in flight.
var invariants = []sqldb.Invariant{
	{Name: "no balance is negative", Query: `
		SELECT 'account ' || number || ' has ' || balance FROM accounts WHERE balance < 0`},
	{Name: "balance is the sum of the movements", Query: `
		SELECT 'account ' || a.number || ' has ' || a.balance || ', its movements ' || coalesce(m.total, 0)
		FROM accounts a LEFT JOIN (
			SELECT account_id, sum(CASE type WHEN 'C' THEN amount ELSE -amount END) AS total FROM movements GROUP BY account_id
		) m ON m.account_id = a.id
		WHERE a.balance <> coalesce(m.total, 0)`},
	{Name: "movements are numbered without a gap", Query: `
		SELECT 'account ' || a.number || ' has version ' || a.version || ' and ' || coalesce(m.n, 0) || ' movements up to ' || coalesce(m.last, 0)
		FROM accounts a LEFT JOIN (
			SELECT account_id, count(*) AS n, max(seq) AS last FROM movements GROUP BY account_id
		) m ON m.account_id = a.id
		WHERE a.version <> coalesce(m.n, 0) OR a.version <> coalesce(m.last, 0)`},
	{Name: "each movement continues the balance before it", Query: `
		SELECT 'movement ' || id || ' leaves ' || balance_after || ' after ' || before
		FROM (
			SELECT id, type, amount, balance_after,
				lag(balance_after, 1, 0) OVER (PARTITION BY account_id ORDER BY seq) AS before
			FROM movements
		) m
		WHERE balance_after <> before + CASE type WHEN 'C' THEN amount ELSE -amount END`},
	{Name: "the kind decides contra and type", Query: `
		SELECT 'movement ' || id || ' is ' || kind || ' ' || type || ' against ' || contra FROM movements
		WHERE kind || ' ' || type || ' ' || contra NOT IN ('deposit C cash', 'withdrawal D cash', 'transfer D transit',
			'transfer C transit', 'refund C transit', 'fee D fee-revenue')`},
	{Name: "a refused request moved nothing", Query: `
		SELECT 'request ' || r.request_key || ' was refused and has movement ' || m.id
		FROM refusals r JOIN movements m ON m.request_key = r.request_key`},
	{Name: "a transfer is debited once, then credited or refunded, never both", Query: `
		SELECT 'transfer ' || transfer_id || ' has ' || debits || ' debits, ' || credits || ' credits, ' || refunds || ' refunds'
		FROM (
			SELECT transfer_id,
				sum(CASE WHEN kind = 'transfer' AND type = 'D' THEN 1 ELSE 0 END) AS debits,
				sum(CASE WHEN kind = 'transfer' AND type = 'C' THEN 1 ELSE 0 END) AS credits,
				sum(CASE WHEN kind = 'refund' THEN 1 ELSE 0 END) AS refunds,
				sum(CASE WHEN type = 'C' THEN amount ELSE 0 END) AS returned,
				sum(CASE WHEN type = 'D' THEN amount ELSE 0 END) AS taken
			FROM movements WHERE kind IN ('transfer', 'refund') GROUP BY transfer_id
		) t
		WHERE debits <> 1 OR credits + refunds > 1 OR returned > taken OR (returned > 0 AND returned <> taken)`},
	{Name: "a transfer pays at most one fee", Query: `
		SELECT 'transfer ' || transfer_id || ' paid ' || count(*) || ' fees'
		FROM movements WHERE kind = 'fee' GROUP BY transfer_id HAVING count(*) > 1`},
}

// Verify checks the ledger's invariants and writes what violates them to out.
func (s *Store) Verify(ctx context.Context, out io.Writer) error {
	return s.db.Verify(ctx, out, invariants)
}
