-- +goose Up

-- Closed accounts in the order of their closing, for the services that refuse their tokens (docs/adr/0018). It holds
-- closed accounts only, so movements do not touch it.
CREATE INDEX accounts_closed ON accounts (deactivated_at, id) WHERE deactivated_at IS NOT NULL;
