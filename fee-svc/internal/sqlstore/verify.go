package sqlstore

import (
	"context"
	"io"
	"time"

	"github.com/bankmore/bankmore/fee-svc/feeapi"
	"github.com/bankmore/bankmore/platform/sqldb"
)

// overdueLimit is how long a fee may be due before that is a violation: no collector is running, or none comes along.
const overdueLimit = 5 * time.Minute

// unknownLimit is how many outcomes of one attempt may be lost; with their pauses that is most of an hour.
const unknownLimit = 100

func invariants(now time.Time) []sqldb.Invariant {
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
		{Name: "a pending fee is collected when it is due", Query: `
			SELECT 'fee ' || id || ' has been due since ' || due_at || ', attempt ' || attempt
			FROM fees WHERE status = 'PENDING' AND due_at < $1`,
			Args: []any{sqldb.Micros(now.Add(-overdueLimit))}},
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

// Verify checks the invariants of the fees and writes what violates them to out.
func (s *Store) Verify(ctx context.Context, out io.Writer) error {
	return s.db.Verify(ctx, out, invariants(time.Now()))
}
