-- The queries of transfer-svc (transfer-svc/internal/sqlstore) and its outbox (platform/outbox), a hundred changes to a
-- batch, with :backlog unfinished transfers and :backlog events that nobody has published.
\pset format unaligned
\pset tuples_only on
\ir sizes.sql
BEGIN;
SET LOCAL jit = off; -- as the services have them (docs/adr/0039)
SET LOCAL enable_seqscan = off;
SET LOCAL enable_mergejoin = off;
SELECT array_agg('01900000-0000-7000-8000-' || lpad(to_hex(i), 12, '0')) AS accounts_of,
    array_agg('01900000-0001-7000-8000-' || lpad(to_hex(i), 12, '0')) AS ids
FROM (SELECT (i::bigint * 7919 * 1009) % :accounts + 1 AS i FROM generate_series(1, 100) AS i) AS picked \gset
SELECT (:'ids'::text[])[1] AS id, (:'accounts_of'::text[])[1] AS account \gset

\echo == create a batch
EXPLAIN (ANALYZE, BUFFERS) INSERT INTO transfers (id, request_id, fingerprint, origin_account_id, origin_account_number,
        destination_account_number, amount, state, created_at, updated_at, lease_until, claims)
    SELECT 'new ' || id, 'new', 'f', id, '1', '2', 100, 'PENDING', 0, 0, 1000, 0 FROM unnest(:'accounts_of'::text[]) AS id ORDER BY id
    ON CONFLICT (origin_account_id, request_id) DO NOTHING RETURNING id;
\echo == transfers that have the keys of a batch
EXPLAIN (ANALYZE, BUFFERS) SELECT present.* FROM unnest(:'accounts_of'::text[]) AS key (account) CROSS JOIN LATERAL (
        SELECT * FROM transfers WHERE origin_account_id = key.account AND request_id = 'seed 1' LIMIT 1) AS present;
SELECT array_agg('new ' || id) AS new FROM unnest(:'accounts_of'::text[]) AS id \gset
\echo == release a batch of leases
EXPLAIN (ANALYZE, BUFFERS) UPDATE transfers SET lease_until = 2000
    FROM (SELECT id, 0 AS claims FROM unnest(:'new'::text[]) AS id) AS release
    WHERE transfers.id = ANY(:'new'::text[]) AND transfers.id = release.id AND transfers.claims = release.claims AND transfers.state NOT IN ('COMPLETED', 'FAILED');
\echo == move a batch on
EXPLAIN (ANALYZE, BUFFERS) UPDATE transfers SET state = step.to_state, updated_at = 1, completed_at = 1, lease_until = NULL
    FROM (SELECT id, 'PENDING' AS from_state, 'COMPLETED' AS to_state FROM unnest(:'new'::text[]) AS id) AS step
    WHERE transfers.id = ANY(:'new'::text[]) AND transfers.id = step.id AND transfers.state = step.from_state RETURNING transfers.id, transfers.state, transfers.updated_at;
\echo == one transfer
EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM transfers WHERE id = :'id';
\echo == list, newest page
EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM (
        SELECT * FROM (SELECT * FROM transfers WHERE origin_account_id = :'account' AND id < 'ffffffff-ffff-ffff-ffff-ffffffffffff'
            ORDER BY id DESC LIMIT 21) AS sent
        UNION ALL
        SELECT * FROM (SELECT * FROM transfers WHERE destination_account_number = '1000004711' AND state = 'COMPLETED'
            AND id < 'ffffffff-ffff-ffff-ffff-ffffffffffff' ORDER BY id DESC LIMIT 21) AS received
    ) AS both_ways ORDER BY id DESC LIMIT 21;
INSERT INTO transfers (id, request_id, fingerprint, origin_account_id, origin_account_number, destination_account_number, amount, state,
        created_at, updated_at, lease_until, claims)
    SELECT 'late ' || i, i::text, 'f', 'a', '1', '2', 100, 'PENDING', i, i, i, 0 FROM generate_series(1, :backlog) AS i;
\echo == is a transfer overdue, when none is
EXPLAIN (ANALYZE, BUFFERS) SELECT EXISTS (SELECT 1 FROM transfers WHERE lease_until <= 0);
\echo == claim overdue transfers
EXPLAIN (ANALYZE, BUFFERS) WITH due AS (SELECT id FROM transfers WHERE lease_until <= 100000000 ORDER BY lease_until LIMIT 128 FOR UPDATE SKIP LOCKED)
    UPDATE transfers SET lease_until = 200000000, claims = claims + 1 WHERE id = ANY (ARRAY(SELECT id FROM due)) RETURNING *;
\echo == the backlog, for metrics
EXPLAIN (ANALYZE, BUFFERS) SELECT state, count(*), max(abs(400000000 - created_at)) FROM transfers WHERE lease_until IS NOT NULL GROUP BY state;
\ir outbox.sql
ROLLBACK;
