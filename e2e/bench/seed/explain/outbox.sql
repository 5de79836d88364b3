\echo == outbox: add a batch
EXPLAIN (ANALYZE, BUFFERS) INSERT INTO outbox (id, topic, partition_key, payload, created_at, claimed_until) SELECT 'new ' || i, 'topic', 'key', repeat('x', 250), 0, 0 FROM generate_series(1, 100) AS i;
INSERT INTO outbox (id, topic, partition_key, payload, created_at, claimed_until) SELECT 'late ' || i, 'topic', 'key', repeat('x', 250), 0, 0 FROM generate_series(1, :backlog) AS i;
\echo == outbox: claim a portion
EXPLAIN (ANALYZE, BUFFERS) WITH free AS (SELECT id FROM outbox WHERE claimed_until <= 1000 ORDER BY id LIMIT 200 FOR UPDATE SKIP LOCKED)
    UPDATE outbox SET claimed_until = 2000 WHERE id = ANY (ARRAY(SELECT id FROM free)) RETURNING id, topic, partition_key, payload;
SELECT array_agg(id) AS claimed FROM outbox WHERE claimed_until = 2000 \gset
\echo == outbox: forget what was published
EXPLAIN (ANALYZE, BUFFERS) DELETE FROM outbox
    WHERE id = ANY (ARRAY(SELECT id FROM outbox WHERE id = ANY(:'claimed'::text[]) FOR UPDATE SKIP LOCKED)) RETURNING id;
\echo == outbox: length and age, for metrics
EXPLAIN (ANALYZE, BUFFERS) SELECT count(*), coalesce(max(abs(3000 - created_at)), 0) FROM outbox;
