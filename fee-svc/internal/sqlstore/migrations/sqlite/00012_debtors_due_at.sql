-- +goose Up

-- The index that finds due debtors has no other column, as on PostgreSQL.
CREATE INDEX debtors_due_at ON debtors (due_at);
DROP INDEX debtors_due;
