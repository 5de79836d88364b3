-- +goose Up

-- A transfer may go from PENDING to COMPLETED or REFUNDING, since the ledger can answer debit and credit in one call
-- (docs/adr/0038). All steps of before stay allowed, so a replica of the version before works on as it did.
CREATE OR REPLACE TRIGGER transfers_follow_the_saga BEFORE UPDATE ON transfers
    FOR EACH ROW
    WHEN (NOT (OLD.state = NEW.state OR OLD.state || '>' || NEW.state IN
            ('PENDING>DEBITED', 'PENDING>COMPLETED', 'PENDING>REFUNDING', 'PENDING>FAILED',
             'DEBITED>COMPLETED', 'DEBITED>REFUNDING', 'REFUNDING>FAILED'))
        OR OLD.lease_until IS NULL
        OR OLD.id <> NEW.id OR OLD.request_id <> NEW.request_id OR OLD.fingerprint <> NEW.fingerprint
        OR OLD.origin_account_id <> NEW.origin_account_id OR OLD.origin_account_number <> NEW.origin_account_number
        OR OLD.destination_account_number <> NEW.destination_account_number OR OLD.amount <> NEW.amount
        OR OLD.created_at <> NEW.created_at)
    EXECUTE FUNCTION transfers_follow_the_saga();
