-- +goose NO TRANSACTION
-- +goose Up

-- Every statement may run again, should a later one fail.

-- debtors_due had account_number as its second column. While there was one debtor, PostgreSQL planned to look up debtors by
-- their account_number in that index, and kept the plan when there were many: each look-up then read the whole index. An index
-- of due_at alone cannot answer such a statement.
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS debtors_due_at;
CREATE INDEX CONCURRENTLY debtors_due_at ON debtors (due_at);
DROP INDEX CONCURRENTLY IF EXISTS debtors_due;
