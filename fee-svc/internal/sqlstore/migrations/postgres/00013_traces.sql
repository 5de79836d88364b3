-- +goose Up

-- The trace that a fee and its event go on with (docs/adr/0056). NULL unless somebody traces the transfer.
ALTER TABLE fees ADD COLUMN traceparent TEXT;
ALTER TABLE outbox ADD COLUMN traceparent TEXT;
