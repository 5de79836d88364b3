\echo == sizes
SELECT relname, pg_size_pretty(pg_relation_size(c.oid)) FROM pg_class c
WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace AND relname NOT LIKE 'goose%'
ORDER BY relkind DESC, pg_relation_size(c.oid) DESC;
