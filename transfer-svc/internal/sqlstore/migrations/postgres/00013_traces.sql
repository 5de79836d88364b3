-- +goose Up

-- The trace that an event goes on with (docs/adr/0056). NULL unless somebody traces the transfer.
ALTER TABLE outbox ADD COLUMN traceparent TEXT;
