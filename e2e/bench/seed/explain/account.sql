-- The queries of account-svc (account-svc/internal/sqlstore) with a hundred commands to a batch.
\pset format unaligned
\pset tuples_only on
\ir sizes.sql
BEGIN;
SET LOCAL jit = off; -- as the services have them (docs/adr/0039)
SET LOCAL enable_seqscan = off;
SET LOCAL enable_mergejoin = off;
SELECT array_agg((1000000000 + i)::text) AS numbers,
    array_agg('01900000-0000-7000-8000-' || lpad(to_hex(i), 12, '0')) AS ids,
    array_agg('01900000-0001-7000-8000-' || lpad(to_hex(i), 12, '0') || ':debit') AS keys
FROM (SELECT (i::bigint * 7919 * 1009) % :accounts + 1 AS i FROM generate_series(1, 100) AS i) AS picked \gset
SELECT (:'numbers'::text[])[1] AS number, (:'ids'::text[])[1] AS id \gset

\echo == lock the accounts of a batch
EXPLAIN (ANALYZE, BUFFERS) SELECT id, number, deactivated_at IS NULL, balance, version, in_transit FROM accounts WHERE number = ANY(:'numbers'::text[])
    ORDER BY id FOR NO KEY UPDATE;
\echo == earlier decisions of its keys
EXPLAIN (ANALYZE, BUFFERS) SELECT request_key, fingerprint, '' FROM movements WHERE request_key = ANY(:'keys'::text[])
    UNION ALL SELECT request_key, fingerprint, type FROM refusals WHERE request_key = ANY(:'keys'::text[]);
\echo == add its movements
EXPLAIN (ANALYZE, BUFFERS) INSERT INTO movements SELECT 'new ' || id, 'new ' || id, 'f', id, 11, 'C', 100, 'cash', 'deposit', '', '', 'Depósito', 99500, 0
    FROM unnest(:'ids'::text[]) AS id;
\echo == add a hundred refusals
EXPLAIN (ANALYZE, BUFFERS) INSERT INTO refusals SELECT 'no ' || id, 'f', 'INSUFFICIENT_BALANCE', 0 FROM unnest(:'ids'::text[]) AS id;
\echo == change its balances
EXPLAIN (ANALYZE, BUFFERS) UPDATE accounts SET balance = change.balance, version = change.version,
        in_transit = change.in_transit
    FROM (SELECT id, 99500 AS balance, 11 AS version, 500 AS in_transit, 10 AS was FROM unnest(:'ids'::text[]) AS id) AS change
    WHERE accounts.id = ANY(:'ids'::text[]) AND accounts.id = change.id AND accounts.version = change.was;
\echo == balance
EXPLAIN (ANALYZE, BUFFERS) SELECT a.id, a.number, c.name, a.deactivated_at IS NULL, a.balance, a.version
    FROM accounts a JOIN customers c ON c.account_id = a.id WHERE a.id = :'id';
\echo == statement, newest page
EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM movements WHERE account_id = :'id'
    AND EXISTS (SELECT 1 FROM accounts WHERE accounts.id = :'id' AND deactivated_at IS NULL) ORDER BY seq DESC LIMIT 21;
\echo == statement, a later page within dates
EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM movements WHERE account_id = :'id'
    AND EXISTS (SELECT 1 FROM accounts WHERE accounts.id = :'id' AND deactivated_at IS NULL)
    AND seq < 8 AND created_at >= 2000000 AND created_at < 9000000 ORDER BY seq DESC LIMIT 21;
\echo == login by CPF
EXPLAIN (ANALYZE, BUFFERS) SELECT c.account_id, a.number, c.name, a.deactivated_at IS NULL, a.version = 0 AND a.deactivated_at IS NULL, c.password_hash
    FROM customers c JOIN accounts a ON a.id = c.account_id WHERE c.cpf_hash = 'seed 4711';
\echo == customer by account
EXPLAIN (ANALYZE, BUFFERS) SELECT c.account_id, a.number, c.name, a.deactivated_at IS NULL, a.version = 0 AND a.deactivated_at IS NULL, c.password_hash
    FROM customers c JOIN accounts a ON a.id = c.account_id WHERE c.account_id = :'id';
\echo == does a number exist
EXPLAIN (ANALYZE, BUFFERS) SELECT EXISTS (SELECT 1 FROM accounts WHERE number = :'number');
\echo == register: the customer
EXPLAIN (ANALYZE, BUFFERS) INSERT INTO customers (account_id, name, cpf_hash, cpf_encrypted, password_hash, created_at)
    VALUES ('new', 'Ana', 'new', '', '', 0) ON CONFLICT (cpf_hash) DO NOTHING;
\echo == register: the account
EXPLAIN (ANALYZE, BUFFERS) INSERT INTO accounts (id, number) VALUES ('new', 'new') ON CONFLICT (number) DO NOTHING;
\echo == deactivate
EXPLAIN (ANALYZE, BUFFERS) UPDATE accounts
    SET deactivated_at = CASE WHEN deactivated_at IS NULL AND balance = 0 THEN 0 ELSE deactivated_at END
    WHERE id = :'id' RETURNING deactivated_at IS NOT NULL;
\echo == closed accounts
EXPLAIN (ANALYZE, BUFFERS) SELECT id, deactivated_at FROM accounts WHERE deactivated_at IS NOT NULL AND (deactivated_at, id) > (0, '')
    ORDER BY deactivated_at, id LIMIT 10001;
\echo == reopen: the record
EXPLAIN (ANALYZE, BUFFERS) INSERT INTO reopenings (account_id, closed_at, reopened_at, reason) VALUES (:'id', 0, 1, 'a refund');
ROLLBACK;
