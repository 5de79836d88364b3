-- The transfers that account.sql tells of.
INSERT INTO transfers (id, request_id, fingerprint, origin_account_id, origin_account_number, destination_account_number, amount, state,
    created_at, updated_at, completed_at, claims)
SELECT pg_temp.transfer_id(pg_temp.transfer_number(i, k)), 'seed ' || k, md5(i || ' ' || k), pg_temp.account_id(i), pg_temp.account_number(i), pg_temp.account_number(pg_temp.after(i, k + 1, $3)),
    1000, 'COMPLETED', 2000000 * (k + 1), 2000000 * (k + 1), 2000000 * (k + 1), 0
FROM generate_series($1::bigint, $2::bigint) AS i, generate_series(0, 2) AS k
