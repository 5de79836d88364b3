-- +goose Up

-- Who owns an account. Read at login, apart from the hot rows of accounts.
CREATE TABLE customers (
    account_id    TEXT   PRIMARY KEY,
    name          TEXT   NOT NULL,
    cpf_hash      TEXT   NOT NULL UNIQUE,
    cpf_encrypted TEXT   NOT NULL,
    password_hash TEXT   NOT NULL,
    created_at    BIGINT NOT NULL
);

-- One narrow row per account; balance and version move with each movement, in its transaction.
CREATE TABLE accounts (
    id             TEXT   PRIMARY KEY REFERENCES customers (account_id),
    number         TEXT   NOT NULL UNIQUE,
    balance        BIGINT NOT NULL DEFAULT 0 CHECK (balance >= 0),
    version        BIGINT NOT NULL DEFAULT 0 CHECK (version >= 0),
    deactivated_at BIGINT
);

-- One row is both sides of an entry: the customer's account and the contra account. request_key is the referee: an
-- effect happens once per key.
CREATE TABLE movements (
    id            TEXT   PRIMARY KEY,
    request_key   TEXT   NOT NULL UNIQUE,
    fingerprint   TEXT   NOT NULL,
    account_id    TEXT   NOT NULL REFERENCES accounts (id),
    seq           BIGINT NOT NULL CHECK (seq > 0),
    type          TEXT   NOT NULL CHECK (type IN ('C', 'D')),
    amount        BIGINT NOT NULL CHECK (amount > 0),
    contra        TEXT   NOT NULL CHECK (contra IN ('cash', 'transit', 'fee-revenue')),
    kind          TEXT   NOT NULL CHECK (kind IN ('deposit', 'withdrawal', 'transfer', 'fee', 'refund')),
    counterparty  TEXT   NOT NULL,
    transfer_id   TEXT   NOT NULL,
    description   TEXT   NOT NULL,
    balance_after BIGINT NOT NULL CHECK (balance_after >= 0),
    created_at    BIGINT NOT NULL,
    UNIQUE (account_id, seq)
);

-- Commands refused by a business rule: the refusal holds for ever under its key, so that a delivery that arrives late
-- cannot take effect after its caller was told no.
CREATE TABLE refusals (
    request_key TEXT   PRIMARY KEY,
    fingerprint TEXT   NOT NULL,
    type        TEXT   NOT NULL,
    created_at  BIGINT NOT NULL
);

-- +goose StatementBegin
CREATE TRIGGER movements_are_never_changed BEFORE UPDATE ON movements
BEGIN
    SELECT RAISE(ABORT, 'movements are immutable');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER movements_are_never_deleted BEFORE DELETE ON movements
BEGIN
    SELECT RAISE(ABORT, 'movements are immutable');
END;
-- +goose StatementEnd
