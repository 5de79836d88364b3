-- Names of what is seeded; they go away with the session.
CREATE FUNCTION pg_temp.account_id(i bigint) RETURNS text IMMUTABLE LANGUAGE sql AS
    $$ SELECT '01900000-0000-7000-8000-' || lpad(to_hex(i), 12, '0') $$;
CREATE FUNCTION pg_temp.account_number(i bigint) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT (1000000000 + i)::text $$;
CREATE FUNCTION pg_temp.transfer_number(i bigint, k int) RETURNS bigint IMMUTABLE LANGUAGE sql AS $$ SELECT (i - 1) * 3 + k + 1 $$;
CREATE FUNCTION pg_temp.transfer_id(n bigint) RETURNS text IMMUTABLE LANGUAGE sql AS
    $$ SELECT '01900000-0001-7000-8000-' || lpad(to_hex(n), 12, '0') $$;
CREATE FUNCTION pg_temp.fee_id(n bigint) RETURNS text IMMUTABLE LANGUAGE sql AS
    $$ SELECT '01900000-0002-7000-8000-' || lpad(to_hex(n), 12, '0') $$;
-- The account that comes a number of steps after another, in a circle.
CREATE FUNCTION pg_temp.after(i bigint, steps int, accounts bigint) RETURNS bigint IMMUTABLE LANGUAGE sql AS
    $$ SELECT ((i - 1 + steps) % accounts + accounts) % accounts + 1 $$;
