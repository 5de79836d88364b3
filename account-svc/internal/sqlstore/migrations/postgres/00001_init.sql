-- +goose Up

-- Keys compare byte by byte (COLLATE "C"): faster, and the same on every machine.

-- Who owns an account. Read at login, apart from the hot rows of accounts.
CREATE TABLE customers (
    account_id    TEXT   COLLATE "C" PRIMARY KEY,
    name          TEXT   NOT NULL,
    cpf_hash      TEXT   COLLATE "C" NOT NULL UNIQUE,
    cpf_encrypted TEXT   NOT NULL,
    password_hash TEXT   NOT NULL,
    created_at    BIGINT NOT NULL
);

-- One narrow row per account; balance and version move with each movement, in its transaction. No index holds either,
-- and a quarter of each page stays free, so that a new version of the row stays in its page (HOT).
CREATE TABLE accounts (
    id             TEXT   COLLATE "C" PRIMARY KEY REFERENCES customers (account_id),
    number         TEXT   COLLATE "C" NOT NULL UNIQUE,
    balance        BIGINT NOT NULL DEFAULT 0 CHECK (balance >= 0),
    version        BIGINT NOT NULL DEFAULT 0 CHECK (version >= 0),
    deactivated_at BIGINT
) WITH (fillfactor = 75);

-- One row is both sides of an entry: the customer's account and the contra account. request_key is the referee: an
-- effect happens once per key.
CREATE TABLE movements (
    id            TEXT   COLLATE "C" PRIMARY KEY,
    request_key   TEXT   COLLATE "C" NOT NULL UNIQUE,
    fingerprint   TEXT   COLLATE "C" NOT NULL,
    account_id    TEXT   COLLATE "C" NOT NULL REFERENCES accounts (id),
    seq           BIGINT NOT NULL CHECK (seq > 0),
    type          TEXT   COLLATE "C" NOT NULL CHECK (type IN ('C', 'D')),
    amount        BIGINT NOT NULL CHECK (amount > 0),
    contra        TEXT   COLLATE "C" NOT NULL CHECK (contra IN ('cash', 'transit', 'fee-revenue')),
    kind          TEXT   COLLATE "C" NOT NULL CHECK (kind IN ('deposit', 'withdrawal', 'transfer', 'fee', 'refund')),
    counterparty  TEXT   COLLATE "C" NOT NULL,
    transfer_id   TEXT   COLLATE "C" NOT NULL,
    description   TEXT   NOT NULL,
    balance_after BIGINT NOT NULL CHECK (balance_after >= 0),
    created_at    BIGINT NOT NULL,
    UNIQUE (account_id, seq)
);

-- Commands refused by a business rule: the refusal holds for ever under its key, so that a delivery that arrives late
-- cannot take effect after its caller was told no.
CREATE TABLE refusals (
    request_key TEXT   COLLATE "C" PRIMARY KEY,
    fingerprint TEXT   COLLATE "C" NOT NULL,
    type        TEXT   COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL
);

-- +goose StatementBegin
CREATE FUNCTION movements_are_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'movements are immutable';
END
$$;
-- +goose StatementEnd

CREATE TRIGGER movements_are_never_changed BEFORE UPDATE OR DELETE ON movements
    FOR EACH ROW EXECUTE FUNCTION movements_are_immutable();

CREATE TRIGGER movements_are_never_truncated BEFORE TRUNCATE ON movements
    FOR EACH STATEMENT EXECUTE FUNCTION movements_are_immutable();
