-- +goose Up

-- Keys compare byte by byte (COLLATE "C"): faster, and the same on every machine.

-- One row per transfer. UNIQUE (origin_account_id, request_id) is the referee: a request has one transfer, for ever.
-- lease_until is set exactly as long as something is left to be done: until then a driver is at work, afterwards
-- recovery may claim the transfer. Times are microseconds since 1970, amounts are cents.
CREATE TABLE transfers (
    id                         TEXT   COLLATE "C" PRIMARY KEY,
    request_id                 TEXT   COLLATE "C" NOT NULL,
    fingerprint                TEXT   COLLATE "C" NOT NULL,
    origin_account_id          TEXT   COLLATE "C" NOT NULL,
    origin_account_number      TEXT   COLLATE "C" NOT NULL,
    destination_account_number TEXT   COLLATE "C" NOT NULL,
    amount                     BIGINT NOT NULL CHECK (amount > 0),
    state                      TEXT   COLLATE "C" NOT NULL CHECK (state IN ('PENDING', 'DEBITED', 'REFUNDING', 'COMPLETED', 'FAILED')),
    failure_type               TEXT,
    failure_message            TEXT,
    created_at                 BIGINT NOT NULL,
    updated_at                 BIGINT NOT NULL,
    completed_at               BIGINT,
    lease_until                BIGINT,
    claims                     BIGINT NOT NULL CHECK (claims >= 0),
    UNIQUE (origin_account_id, request_id),
    CHECK (origin_account_number <> destination_account_number),
    CHECK ((state IN ('REFUNDING', 'FAILED')) = (failure_type IS NOT NULL)),
    CHECK ((failure_type IS NULL) = (failure_message IS NULL)),
    CHECK ((state = 'COMPLETED') = (completed_at IS NOT NULL)),
    CHECK ((state IN ('COMPLETED', 'FAILED')) = (lease_until IS NULL))
);

-- The two halves of a customer's list, in its order.
CREATE INDEX transfers_sent ON transfers (origin_account_id, id);
CREATE INDEX transfers_received ON transfers (destination_account_number, id) WHERE state = 'COMPLETED';

-- What recovery looks for: as small as the backlog.
CREATE INDEX transfers_unfinished ON transfers (lease_until) WHERE lease_until IS NOT NULL;

-- +goose StatementBegin
CREATE FUNCTION transfers_follow_the_saga() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a transfer only moves along the saga, and never once it is final';
END
$$;
-- +goose StatementEnd

CREATE TRIGGER transfers_follow_the_saga BEFORE UPDATE ON transfers
    FOR EACH ROW
    WHEN (NOT (OLD.state = NEW.state OR OLD.state || '>' || NEW.state IN
            ('PENDING>DEBITED', 'PENDING>FAILED', 'DEBITED>COMPLETED', 'DEBITED>REFUNDING', 'REFUNDING>FAILED'))
        OR OLD.lease_until IS NULL
        OR OLD.id <> NEW.id OR OLD.request_id <> NEW.request_id OR OLD.fingerprint <> NEW.fingerprint
        OR OLD.origin_account_id <> NEW.origin_account_id OR OLD.origin_account_number <> NEW.origin_account_number
        OR OLD.destination_account_number <> NEW.destination_account_number OR OLD.amount <> NEW.amount
        OR OLD.created_at <> NEW.created_at)
    EXECUTE FUNCTION transfers_follow_the_saga();

-- +goose StatementBegin
CREATE FUNCTION transfers_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'transfers are kept';
END
$$;
-- +goose StatementEnd

CREATE TRIGGER transfers_are_never_deleted BEFORE DELETE ON transfers
    FOR EACH ROW EXECUTE FUNCTION transfers_are_kept();

CREATE TRIGGER transfers_are_never_truncated BEFORE TRUNCATE ON transfers
    FOR EACH STATEMENT EXECUTE FUNCTION transfers_are_kept();

-- Events to be published; see platform/outbox. The event of a transfer has the transfer's id.
CREATE TABLE outbox (
    id            TEXT   COLLATE "C" PRIMARY KEY,
    topic         TEXT   NOT NULL,
    partition_key TEXT   COLLATE "C" NOT NULL,
    payload       TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    claimed_until BIGINT NOT NULL
);
