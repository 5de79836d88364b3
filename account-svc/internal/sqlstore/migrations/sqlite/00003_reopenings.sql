-- +goose Up

-- An operator let the owner of a closed account in again: when it had been closed, when it was opened, and why.
CREATE TABLE reopenings (
    account_id  TEXT   NOT NULL REFERENCES accounts (id),
    closed_at   BIGINT NOT NULL,
    reopened_at BIGINT NOT NULL,
    reason      TEXT   NOT NULL CHECK (reason <> ''),
    PRIMARY KEY (account_id, closed_at)
);
