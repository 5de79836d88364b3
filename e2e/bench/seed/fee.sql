-- The fees that account.sql tells of. ($3, the number of accounts, plays no part.)
INSERT INTO fees (id, transfer_id, account_number, amount, status, reason, created_at, charged_at, due_at)
SELECT pg_temp.fee_id(pg_temp.transfer_number(i, k)), pg_temp.transfer_id(pg_temp.transfer_number(i, k)), pg_temp.account_number(i), 200, 'CHARGED', '', 3000000 * (k + 1),
    3000000 * (k + 1), 0
FROM generate_series($1::bigint, $2::bigint) AS i, generate_series(0, 2) AS k
WHERE $3::bigint > 0
