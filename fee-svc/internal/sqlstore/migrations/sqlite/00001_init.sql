-- +goose Up

-- One fee per transfer: the UNIQUE key is the referee when an event comes twice or to two replicas at once.
CREATE TABLE fees (
    id             TEXT   PRIMARY KEY, -- UUIDv7: ordered by time
    transfer_id    TEXT   NOT NULL UNIQUE,
    account_number TEXT   NOT NULL,
    amount         BIGINT NOT NULL CHECK (amount >= 0),
    status         TEXT   NOT NULL CHECK (status IN ('PENDING', 'CHARGED', 'WAIVED')),
    reason         TEXT   NOT NULL,
    created_at     BIGINT NOT NULL,
    charged_at     BIGINT,
    attempt        BIGINT NOT NULL DEFAULT 1 CHECK (attempt > 0),   -- decides the ledger's idempotency key
    unknowns       BIGINT NOT NULL DEFAULT 0 CHECK (unknowns >= 0), -- lost answers of this attempt
    due_at         BIGINT NOT NULL,                                 -- a collector may claim it then; a claim moves it ahead
    CHECK ((status = 'CHARGED') = (charged_at IS NOT NULL)),
    CHECK (amount > 0 OR status = 'WAIVED'),
    CHECK (reason <> '' OR status <> 'WAIVED')
);

CREATE INDEX fees_of_account ON fees (account_number, id);
CREATE INDEX fees_due ON fees (due_at) WHERE status = 'PENDING';

CREATE TABLE outbox (
    id            TEXT   PRIMARY KEY, -- UUIDv7: ordered by time; the id of the CloudEvent
    topic         TEXT   NOT NULL,
    partition_key TEXT   NOT NULL,
    payload       TEXT   NOT NULL,    -- JSON
    created_at    BIGINT NOT NULL,
    claimed_until BIGINT NOT NULL     -- a relay is sending it
);

-- What is final stays as it is.
-- +goose StatementBegin
CREATE TRIGGER final_fees_are_never_changed BEFORE UPDATE ON fees WHEN OLD.status <> 'PENDING'
BEGIN
    SELECT RAISE(ABORT, 'a charged or waived fee is final');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER fees_are_never_deleted BEFORE DELETE ON fees
BEGIN
    SELECT RAISE(ABORT, 'fees are never deleted');
END;
-- +goose StatementEnd
