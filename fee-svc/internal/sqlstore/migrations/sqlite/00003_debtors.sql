-- +goose Up

-- Accounts that owe fees: what collectors claim, ask about and charge.
CREATE TABLE debtors (
    account_number TEXT   PRIMARY KEY,
    due_at         BIGINT NOT NULL,               -- a collector may claim the debtor then
    claimed_until  BIGINT NOT NULL DEFAULT 0,     -- a collector is at work on it
    waits          BOOLEAN NOT NULL DEFAULT FALSE -- its balance did not cover its oldest fee
);
CREATE INDEX debtors_due ON debtors (due_at, account_number);

INSERT INTO debtors (account_number, due_at) SELECT account_number, min(created_at) FROM fees WHERE status = 'PENDING' GROUP BY account_number;

-- A debtor's pending fees, the oldest first. The condition is not that of fees_due, so that no query which wants this index
-- can take that one, which is for the version before and goes, with its column, in the next.
CREATE INDEX fees_owed ON fees (account_number, id) WHERE charged_at IS NULL AND status <> 'WAIVED';
