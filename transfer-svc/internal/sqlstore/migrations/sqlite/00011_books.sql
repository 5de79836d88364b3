-- +goose Up

-- What transfer-svc publishes for the checks across the services (docs/adr/0032). The columns are a contract with ops, as the
-- API is one with clients: a migration that changes the tables keeps the names and the meanings here. Amounts are cents, times
-- are microseconds since 1970.

-- state is PENDING, DEBITED, REFUNDING, COMPLETED or FAILED. completed_at is NULL unless state is COMPLETED.
CREATE VIEW books_transfers AS
    SELECT id, request_id, fingerprint AS request_fingerprint, origin_account_id, origin_account_number,
        destination_account_number, amount, state, created_at, completed_at
    FROM transfers;

-- The events that wait to be published.
CREATE VIEW books_events AS
    SELECT id, created_at FROM outbox;
