-- +goose Up

-- What fee-svc publishes for the checks across the services (docs/adr/0032). The columns are a contract with ops, as the API is
-- one with clients: a migration that changes the tables keeps the names and the meanings here. Amounts are cents, times are
-- microseconds since 1970.

-- status is PENDING, CHARGED or WAIVED. A waived fee has a reason. A pending fee waits for balance if its debtor does; what the
-- fee's own row says of that may be out of date.
CREATE VIEW books_fees AS
    SELECT transfer_id, account_number, amount, status, CASE WHEN status = 'WAIVED' THEN reason ELSE '' END AS reason, created_at,
        status = 'PENDING' AND EXISTS (
            SELECT 1 FROM debtors WHERE debtors.account_number = fees.account_number AND debtors.waits
        ) AS waits_for_balance
    FROM fees;

-- The events that wait to be published.
CREATE VIEW books_events AS
    SELECT id, created_at FROM outbox;
