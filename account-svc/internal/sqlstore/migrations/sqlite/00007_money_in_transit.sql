-- +goose Up

-- At least what transfers from the account may still send back to it: it grows with each debit of a transfer and falls with
-- each refund. Together with the balance it has a limit, so that refunds cannot exceed 64 bits.
ALTER TABLE accounts ADD COLUMN in_transit BIGINT NOT NULL DEFAULT 0 CHECK (in_transit >= 0);
UPDATE accounts SET in_transit = coalesce((SELECT sum(d.amount) FROM movements d
    WHERE d.account_id = accounts.id AND d.kind = 'transfer' AND d.type = 'D'
        AND NOT EXISTS (SELECT 1 FROM movements r WHERE r.account_id = d.account_id AND r.transfer_id = d.transfer_id AND r.kind = 'refund')), 0);
