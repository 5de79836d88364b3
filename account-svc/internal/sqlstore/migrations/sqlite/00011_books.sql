-- +goose Up

-- What account-svc publishes for the checks across the services, and for the repair of transfers (docs/adr/0032). Their columns
-- are a contract with ops, as the API is one with clients: a migration that changes the tables keeps the names and the
-- meanings here. Amounts are cents, times are microseconds since 1970.

CREATE VIEW books_accounts AS
    SELECT id, number, balance FROM accounts;

-- contra is the internal account: cash, transit or fee-revenue. kind is deposit, withdrawal, transfer, refund or fee, and type
-- is C or D, as the customer's account sees it. transfer_id is empty for deposits and withdrawals. request_id and
-- request_fingerprint are of the request that the customer made for a transfer; only the transfer's debit has them, and a
-- debit from before the ledger kept requests has none: then they are empty.
CREATE VIEW books_movements AS
    SELECT account_id, kind, type, amount, contra, counterparty, transfer_id, created_at,
        coalesce(transfer_request_id, '') AS request_id, coalesce(transfer_fingerprint, '') AS request_fingerprint
    FROM movements;
