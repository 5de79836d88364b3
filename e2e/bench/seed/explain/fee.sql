-- The queries of fee-svc (fee-svc/internal/sqlstore), a hundred events to a bulk, with :backlog accounts that owe a fee
-- and one that owes :backlog fees.
\pset format unaligned
\pset tuples_only on
\ir sizes.sql
BEGIN;
SET LOCAL jit = off; -- as the services have them (docs/adr/0039)
SET LOCAL enable_seqscan = off;
SET LOCAL enable_mergejoin = off;
SELECT (1000000000 + 4711)::text AS number, '01900000-0002-7000-8000-' || lpad(to_hex(4711), 12, '0') AS id \gset

\echo == add the fees of a bulk
EXPLAIN (ANALYZE, BUFFERS) WITH added AS (
        INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, due_at)
        SELECT 'new ' || i, 'new ' || i, (1000000000 + i * 7919)::text, 200, 'PENDING', '', 0, 0 FROM generate_series(1, 100) AS i
        ON CONFLICT (transfer_id) DO NOTHING RETURNING id, account_number, status
    ), owing AS (
        INSERT INTO debtors (account_number, due_at)
        SELECT DISTINCT account_number, 0::bigint FROM added WHERE status = 'PENDING' ORDER BY account_number
        ON CONFLICT (account_number) DO UPDATE SET due_at = excluded.due_at WHERE debtors.due_at > excluded.due_at
    ) SELECT id FROM added;
\echo == add them again
EXPLAIN (ANALYZE, BUFFERS) INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, due_at)
    SELECT 'again ' || i, 'new ' || i, (1000000000 + i * 7919)::text, 200, 'PENDING', '', 0, 0 FROM generate_series(1, 100) AS i
    ON CONFLICT (transfer_id) DO NOTHING RETURNING id;
SELECT array_agg((1000000000 + i * 7919)::text) AS bulk FROM generate_series(1, 100) AS i \gset
SELECT array_agg('new ' || i) AS new FROM generate_series(1, 100) AS i \gset
\echo == settle them
EXPLAIN (ANALYZE, BUFFERS) UPDATE fees SET status = 'CHARGED', charged_at = 1
    FROM (SELECT id, 1 AS settled FROM unnest(:'new'::text[]) AS id) AS next
    WHERE fees.id = ANY(:'new'::text[]) AND fees.id = next.id AND fees.status NOT IN ('CHARGED', 'WAIVED') AND fees.attempt = next.settled RETURNING fees.*;
\echo == lock their debtors
EXPLAIN (ANALYZE, BUFFERS) SELECT account_number FROM debtors WHERE account_number = ANY(:'bulk') ORDER BY account_number FOR UPDATE;
\echo == delete those that owe nothing
EXPLAIN (ANALYZE, BUFFERS) DELETE FROM debtors WHERE account_number = ANY(:'bulk')
    AND (SELECT id FROM fees WHERE fees.account_number = debtors.account_number AND charged_at IS NULL AND status <> 'WAIVED' LIMIT 1) IS NULL;
\echo == one fee
EXPLAIN (ANALYZE, BUFFERS) SELECT fees.*, status = 'PENDING' AND EXISTS (SELECT 1 FROM debtors
        WHERE debtors.account_number = fees.account_number AND debtors.waits) FROM fees WHERE id = :'id';
\echo == list, newest page
EXPLAIN (ANALYZE, BUFFERS) SELECT fees.*, status = 'PENDING' AND EXISTS (SELECT 1 FROM debtors
        WHERE debtors.account_number = fees.account_number AND debtors.waits) FROM fees WHERE account_number = :'number' ORDER BY id DESC LIMIT 21;
\echo == a later page
EXPLAIN (ANALYZE, BUFFERS) SELECT fees.*, status = 'PENDING' AND EXISTS (SELECT 1 FROM debtors
        WHERE debtors.account_number = fees.account_number AND debtors.waits) FROM fees WHERE account_number = :'number' AND id < :'id' ORDER BY id DESC LIMIT 21;
\echo == is a debtor due, when none is
EXPLAIN (ANALYZE, BUFFERS) SELECT count(*) > 0 FROM (SELECT account_number FROM debtors WHERE due_at <= -1 AND claimed_until <= -1
    ORDER BY due_at LIMIT 1) AS due;
INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, due_at)
    SELECT 'late ' || i, 'late ' || i, (5000000000 + i)::text, 200, 'PENDING', '', i, i FROM generate_series(1, :backlog) AS i;
INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, due_at)
    SELECT 'many ' || i, 'many ' || i, '1', 200, 'PENDING', '', i, i FROM generate_series(1, :backlog) AS i;
INSERT INTO debtors (account_number, due_at) SELECT account_number, min(created_at) FROM fees WHERE status = 'PENDING' GROUP BY account_number;
\echo == is a debtor due, when many are
EXPLAIN (ANALYZE, BUFFERS) SELECT count(*) > 0 FROM (SELECT account_number FROM debtors WHERE due_at <= 100000000
    AND claimed_until <= 100000000 ORDER BY due_at LIMIT 1) AS due;
\echo == claim debtors
EXPLAIN (ANALYZE, BUFFERS) WITH due AS (SELECT account_number FROM debtors WHERE due_at <= 100000000 AND claimed_until <= 100000000
        ORDER BY due_at LIMIT 256 FOR UPDATE SKIP LOCKED)
    UPDATE debtors SET claimed_until = 200000000 WHERE account_number = ANY (ARRAY(SELECT account_number FROM due))
    RETURNING account_number, claimed_until, waits;
SELECT array_agg(account_number) AS claimed FROM debtors WHERE claimed_until = 200000000 \gset
\echo == the oldest fee of each
EXPLAIN (ANALYZE, BUFFERS) SELECT fees.* FROM unnest(:'claimed'::text[]) AS debtor (number) CROSS JOIN LATERAL (
        SELECT * FROM fees WHERE account_number = debtor.number AND charged_at IS NULL AND status <> 'WAIVED' ORDER BY id LIMIT 1) AS fees ORDER BY fees.id;
\echo == the 32 oldest fees of one that owes many
EXPLAIN (ANALYZE, BUFFERS) SELECT fees.* FROM unnest('{1}'::text[]) AS debtor (number) CROSS JOIN LATERAL (
        SELECT * FROM fees WHERE account_number = debtor.number AND charged_at IS NULL AND status <> 'WAIVED' ORDER BY id LIMIT 32) AS fees ORDER BY fees.id;
\echo == release them
EXPLAIN (ANALYZE, BUFFERS) UPDATE debtors SET due_at = 300000000, claimed_until = 0, waits = TRUE
    FROM unnest(:'claimed'::text[]) AS next (account_number)
    WHERE debtors.account_number = ANY(:'claimed'::text[]) AND debtors.account_number = next.account_number
        AND debtors.claimed_until = 200000000;
\echo == the backlog, for metrics
EXPLAIN (ANALYZE, BUFFERS) SELECT count(CASE WHEN debtors.waits IS NOT TRUE THEN 1 END), count(CASE WHEN debtors.waits THEN 1 END),
        coalesce(max(CASE WHEN debtors.waits IS NOT TRUE THEN abs(400000000 - fees.created_at) END), 0)
    FROM fees LEFT JOIN debtors ON debtors.account_number = fees.account_number WHERE fees.status = 'PENDING';
\ir outbox.sql
ROLLBACK;
