package portable

import (
	"context"
	"io"
	"time"

	"github.com/bankmore/bankmore/platform/sqldb"
	"github.com/bankmore/bankmore/transfer-svc/transferapi"
)

// RequestsTwice groups by the columns of the UNIQUE index, so that the database reads the keys in order and sorts nothing.
const RequestsTwice = `
	SELECT 'request ' || request_id || ' of account ' || origin_account_id || ' has ' || count(*) || ' transfers'
	FROM transfers GROUP BY origin_account_id, request_id HAVING count(*) > 1`

// Verify checks the invariants of transfers and their events, and writes each violation to out. A transfer that was
// created more than maxUnfinished ago must be final. So must one from the future: the database's clock has gone back, and
// recovery waits until the lease ends by that clock.
func (s Store) Verify(ctx context.Context, out io.Writer, maxUnfinished time.Duration) error {
	return s.db.Verify(ctx, out, []sqldb.Invariant{
		{Name: "a request has one transfer", Query: RequestsTwice},
		{Name: "a transfer is in a state of the saga", Query: `
			SELECT 'transfer ' || id || ' is ' || state FROM transfers
			WHERE state NOT IN ('PENDING', 'DEBITED', 'REFUNDING', 'COMPLETED', 'FAILED')`},
		{Name: "an amount is positive and moves between two accounts", Query: `
			SELECT 'transfer ' || id || ' moves ' || amount || ' from ' || origin_account_number || ' to ' || destination_account_number
			FROM transfers WHERE amount <= 0 OR origin_account_number = destination_account_number`},
		{Name: "a failure is recorded exactly for refunding and failed transfers", Query: `
			SELECT 'transfer ' || id || ' is ' || state || ' with failure ' || coalesce(failure_type, 'none') FROM transfers
			WHERE (state IN ('REFUNDING', 'FAILED')) <> (failure_type IS NOT NULL AND failure_message IS NOT NULL)`},
		{Name: "a time of completion is recorded exactly for completed transfers", Query: `
			SELECT 'transfer ' || id || ' is ' || state || ', completed at ' || coalesce(completed_at, 0) FROM transfers
			WHERE (state = 'COMPLETED') <> (completed_at IS NOT NULL)`},
		{Name: "no transfer ends before it begins", Query: `
			SELECT 'transfer ' || id || ' began at ' || created_at || ', moved at ' || updated_at || ', completed at ' || completed_at
			FROM transfers WHERE updated_at < created_at OR completed_at < created_at`},
		{Name: "exactly unfinished transfers have a lease, by which recovery finds them", Query: `
			SELECT 'transfer ' || id || ' is ' || state || ' with lease ' || coalesce(lease_until, 0) FROM transfers
			WHERE (state IN ('COMPLETED', 'FAILED')) <> (lease_until IS NULL)`},
		{Name: "no transfer stays unfinished", Args: []any{maxUnfinished.Microseconds()}, Query: `
			SELECT 'transfer ' || id || ' is ' || state || ' since ' || updated_at || ' after ' || claims || ' claims' FROM transfers
			WHERE lease_until IS NOT NULL AND abs(` + s.db.Now() + " - created_at) > $1"},
		{Name: "an event tells of a completed transfer", Args: []any{transferapi.TopicCompleted}, Query: `
			SELECT 'event ' || o.id || ' for ' || o.topic || ' of transfer ' || coalesce(t.state, 'unknown')
			FROM outbox o LEFT JOIN transfers t ON t.id = o.id
			WHERE o.topic <> $1 OR t.state IS NULL OR t.state <> 'COMPLETED' OR o.partition_key <> t.origin_account_number`},
	})
}
