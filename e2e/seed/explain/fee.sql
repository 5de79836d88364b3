-- The queries of fee-svc (fee-svc/internal/sqlstore), a hundred events to a bulk, with :backlog fees that are due.
\pset format unaligned
\pset tuples_only on
\ir sizes.sql
BEGIN;
SET LOCAL jit = off;
SELECT (1000000000 + 4711)::text AS number, '01900000-0002-7000-8000-' || lpad(to_hex(4711), 12, '0') AS id \gset

\echo == add the fees of a bulk
EXPLAIN (ANALYZE, BUFFERS) INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, due_at)
    SELECT 'new ' || i, 'new ' || i, (1000000000 + i * 7919)::text, 200, 'PENDING', '', 0, 0 FROM generate_series(1, 100) AS i
    ON CONFLICT (transfer_id) DO NOTHING RETURNING id;
\echo == add them again
EXPLAIN (ANALYZE, BUFFERS) INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, due_at)
    SELECT 'again ' || i, 'new ' || i, (1000000000 + i * 7919)::text, 200, 'PENDING', '', 0, 0 FROM generate_series(1, 100) AS i
    ON CONFLICT (transfer_id) DO NOTHING RETURNING id;
\echo == settle them
EXPLAIN (ANALYZE, BUFFERS) UPDATE fees SET status = 'CHARGED', charged_at = 1
    FROM (SELECT 'new ' || i AS id, 1 AS settled FROM generate_series(1, 100) AS i) AS next
    WHERE fees.id = next.id AND fees.status NOT IN ('CHARGED', 'WAIVED') AND fees.attempt = next.settled RETURNING fees.*;
\echo == one fee
EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM fees WHERE id = :'id';
\echo == list, newest page
EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM fees WHERE account_number = :'number' ORDER BY id DESC LIMIT 21;
\echo == a later page
EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM fees WHERE account_number = :'number' AND id < :'id' ORDER BY id DESC LIMIT 21;
\echo == is a fee due, when none is
EXPLAIN (ANALYZE, BUFFERS) SELECT EXISTS (SELECT 1 FROM fees WHERE status = 'PENDING' AND due_at <= 1000);
INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, due_at)
    SELECT 'late ' || i, 'late ' || i, '1', 200, 'PENDING', '', i, i FROM generate_series(1, :backlog) AS i;
\echo == is a fee due, when many are
EXPLAIN (ANALYZE, BUFFERS) SELECT EXISTS (SELECT 1 FROM fees WHERE status = 'PENDING' AND due_at <= 100000000);
\echo == claim due fees
EXPLAIN (ANALYZE, BUFFERS) WITH due AS (SELECT id FROM fees WHERE status = 'PENDING' AND due_at <= 100000000 ORDER BY due_at, id LIMIT 256 FOR UPDATE SKIP LOCKED)
    UPDATE fees SET due_at = 200000000 WHERE id IN (SELECT id FROM due) RETURNING *;
\echo == the backlog, for metrics
EXPLAIN (ANALYZE, BUFFERS) SELECT count(CASE WHEN reason <> 'INSUFFICIENT_BALANCE' OR unknowns > 0 THEN 1 END),
        count(CASE WHEN reason = 'INSUFFICIENT_BALANCE' AND unknowns = 0 THEN 1 END),
        coalesce(min(CASE WHEN reason <> 'INSUFFICIENT_BALANCE' OR unknowns > 0 THEN created_at END), 0)
    FROM fees WHERE status = 'PENDING';
\echo == recall what was put off too far, when nothing was
EXPLAIN (ANALYZE, BUFFERS) WITH late AS (SELECT id FROM fees WHERE status = 'PENDING' AND due_at > 300000000 LIMIT 10000 FOR UPDATE SKIP LOCKED)
    UPDATE fees SET due_at = 100000000 WHERE id IN (SELECT id FROM late);
\ir outbox.sql
ROLLBACK;
