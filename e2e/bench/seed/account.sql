-- Accounts $1 to $2 of $3: each with a deposit of 1000.00, three transfers of 10.00 to the three accounts after it, with
-- a fee of 2.00 each, and the three that it receives.
WITH account AS (
    SELECT i, pg_temp.account_id(i) AS id, pg_temp.account_number(i) AS number FROM generate_series($1::bigint, $2::bigint) AS i
), new_customers AS (
    INSERT INTO customers (account_id, name, cpf_hash, cpf_encrypted, password_hash, created_at)
    SELECT id, 'Cliente ' || i, 'seed ' || i, '', '', 0 FROM account
), new_accounts AS (
    INSERT INTO accounts (id, number, balance, version) SELECT id, number, 99400, 10 FROM account
), entry AS (
    SELECT id, i, 1 AS seq, 'C' AS type, 100000 AS amount, 'cash' AS contra, 'deposit' AS kind, NULL::bigint AS other, NULL::bigint AS transfer,
        'deposit' AS leg, 'Depósito' AS description, 100000 AS balance_after
    FROM account
    UNION ALL
    SELECT id, i, 2 + 2 * k, 'D', 1000, 'transit', 'transfer', pg_temp.after(i, k + 1, $3), pg_temp.transfer_number(i, k), 'debit', 'Transferência enviada',
        100000 - 1200 * k - 1000
    FROM account, generate_series(0, 2) AS k
    UNION ALL
    SELECT id, i, 3 + 2 * k, 'D', 200, 'fee-revenue', 'fee', NULL, pg_temp.transfer_number(i, k), 'fee', 'Tarifa de transferência',
        100000 - 1200 * (k + 1)
    FROM account, generate_series(0, 2) AS k
    UNION ALL
    SELECT id, i, 8 + k, 'C', 1000, 'transit', 'transfer', pg_temp.after(i, -k - 1, $3), pg_temp.transfer_number(pg_temp.after(i, -k - 1, $3), k), 'credit',
        'Transferência recebida', 96400 + 1000 * (k + 1)
    FROM account, generate_series(0, 2) AS k
)
INSERT INTO movements (id, request_key, fingerprint, account_id, seq, type, amount, contra, kind, counterparty, transfer_id, description,
    balance_after, created_at)
SELECT gen_random_uuid()::text, coalesce(pg_temp.transfer_id(transfer), id) || ':' || leg, md5(id || seq), id, seq, type, amount, contra, kind,
    coalesce(pg_temp.account_number(other), ''), coalesce(pg_temp.transfer_id(transfer), ''), description, balance_after, 1000000 * seq
FROM entry
