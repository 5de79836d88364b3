package portable

import (
	"context"
	"io"
	"time"

	"github.com/bankmore/bankmore/fee-svc/feeapi"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// unknownLimit is how often the outcome of one attempt may stay unknown. With the pauses between, that takes most of an hour.
const unknownLimit = 100

func invariants(now string, maxUnfinished time.Duration) []sqldb.Invariant {
	return []sqldb.Invariant{
		{Name: "a transfer has one fee", Query: `
			SELECT 'transfer ' || transfer_id || ' has ' || count(*) || ' fees'
			FROM fees GROUP BY transfer_id HAVING count(*) > 1`},
		{Name: "no amount is negative, and none is zero unless waived", Query: `
			SELECT 'fee ' || id || ' is ' || status || ' with ' || amount
			FROM fees WHERE amount < 0 OR (amount = 0 AND status <> 'WAIVED')`},
		{Name: "a fee has a time of charging exactly if it is charged", Query: `
			SELECT 'fee ' || id || ' is ' || status || ', charged at ' || coalesce(CAST(charged_at AS TEXT), 'no time')
			FROM fees WHERE (status = 'CHARGED') <> (charged_at IS NOT NULL)`},
		{Name: "a waived fee has a reason", Query: `
			SELECT 'fee ' || id || ' has none' FROM fees WHERE status = 'WAIVED' AND reason = ''`},
		{Name: "no fee stays pending unless it waits for balance", Query: `
			SELECT 'fee ' || f.id || ' is pending since ' || f.created_at || ', attempt ' || f.attempt || ', ' || f.unknowns || ' answers lost' ||
				CASE WHEN d.account_number IS NULL THEN ', and account ' || f.account_number || ' is no debtor' ELSE '' END
			FROM fees f LEFT JOIN debtors d ON d.account_number = f.account_number
			WHERE f.status = 'PENDING' AND d.waits IS NOT TRUE AND abs(` + now + ` - f.created_at) > $1`,
			Args: []any{maxUnfinished.Microseconds()}},
		{Name: "no fee's outcome stays unknown", Args: []any{unknownLimit}, Query: `
			SELECT 'fee ' || id || ' has no known outcome after ' || unknowns || ' tries of attempt ' || attempt
			FROM fees WHERE status = 'PENDING' AND unknowns > $1`},
		{Name: "an event waits only for a charged fee of its account", Query: `
			SELECT 'event ' || o.id || ' for ' || o.topic || ': ' || o.payload
			FROM outbox o LEFT JOIN fees f ON f.id = o.id
			WHERE o.topic <> $1 OR f.id IS NULL OR f.status <> 'CHARGED' OR f.account_number <> o.partition_key`,
			Args: []any{feeapi.TopicCharged}},
	}
}

// Verify checks the invariants of the fees and writes each violation to out. A fee that was created more than maxUnfinished
// ago must be charged or waived, or wait for balance. So must one from the future: the database's clock has gone back, and
// collectors wait until the fee is due by that clock.
func (s Store) Verify(ctx context.Context, out io.Writer, maxUnfinished time.Duration) error {
	return s.db.Verify(ctx, out, invariants(s.db.Now(), maxUnfinished))
}
