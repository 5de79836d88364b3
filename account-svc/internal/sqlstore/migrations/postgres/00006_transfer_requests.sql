-- +goose Up

-- Of the request that a customer made for a transfer, with the movement that is its debit: transfer-svc, restored from a
-- backup, gets from here what it has forgotten (docs/adr/0020). NULL for every other movement, and for debits of before.
ALTER TABLE movements ADD COLUMN transfer_request_id TEXT COLLATE "C";
ALTER TABLE movements ADD COLUMN transfer_fingerprint TEXT COLLATE "C";
