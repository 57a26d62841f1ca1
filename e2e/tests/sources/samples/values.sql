-- Random values by type, for random work on any table. Loaded before work.sql.
CREATE SCHEMA random_work;

CREATE FUNCTION random_work.below(n integer) RETURNS integer LANGUAGE sql AS 'SELECT floor(random() * n)::integer';

-- One of these.
CREATE FUNCTION random_work.one_of(VARIADIC texts text[]) RETURNS text LANGUAGE sql AS
'SELECT texts[1 + random_work.below(cardinality(texts))]';

-- So long that it is stored out of line, and an update that does not touch it leaves it out.
CREATE FUNCTION random_work.long_text() RETURNS text LANGUAGE sql AS
'SELECT string_agg(md5(random()::text), '' '') FROM generate_series(1, 150)';

CREATE FUNCTION random_work.words() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n integer := random_work.below(60);
BEGIN
    RETURN CASE
        WHEN n < 20 THEN 'w' || n
        WHEN n < 30 THEN chr(65 + n % 26) || chr(65 + n * 7 % 26) || chr(65 + n * 11 % 26)
        WHEN n < 40 THEN 'a' || n || '@example'
        WHEN n < 50 THEN n || '-' || random_work.below(1000)
        WHEN n = 50 THEN random_work.long_text()
        ELSE random_work.one_of('', 'ü Ж 日本', E'line\nbreak\t"quoted" \\', '''', '{"a": [1, null]}', ' blank ')
    END;
END
$$;

-- A key that is text, which may be any.
CREATE FUNCTION random_work.text_key(n integer) RETURNS text LANGUAGE sql AS $$
SELECT CASE
           WHEN n < 70 THEN 'k' || n
           ELSE (ARRAY['', 'ü Ж 日本', E'line\nbreak', ' blank ', '"quoted" \', '''', '{"a": [1]}', 'NULL', 'a,b', 'K1'])[n - 69]
       END
$$;

-- Two texts with the lower one first, as a range with random bounds.
CREATE FUNCTION random_work.range_of(low text, high text) RETURNS text LANGUAGE sql AS $$
SELECT CASE random_work.below(8)
           WHEN 0 THEN 'empty'
           WHEN 1 THEN '[' || low || ',)'
           WHEN 2 THEN '(,' || high || ']'
           ELSE random_work.one_of('[', '(') || low || ',' || high || random_work.one_of(']', ')')
       END
$$;

CREATE FUNCTION random_work.number_of(modifier integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    whole integer := CASE WHEN modifier < 4 THEN 9 ELSE ((modifier - 4) >> 16) - ((modifier - 4) & 2047) END;
    -- No zeros at the end of a number without a declared scale: an event does not have them.
    scale integer := CASE WHEN modifier < 4 THEN random_work.below(8) ELSE (modifier - 4) & 2047 END;
    magnitude integer := random_work.below(least(whole, 9) + 1);
    number numeric := floor((random() * 10 ^ magnitude)::numeric) + round(random()::numeric, 9);
BEGIN
    RETURN trim_scale(trunc(CASE WHEN random() < 0.15 THEN -number ELSE number END, scale))::text;
END
$$;

-- A value of a type of the system, as text. A key has so few values that rows meet again.
CREATE FUNCTION random_work.plain_value(type text, modifier integer, is_key boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n integer := random_work.below(80);
    at timestamp := timestamp '2026-01-01' + (CASE WHEN is_key THEN n * 10 ELSE random_work.below(365) END) * interval '1 day'
        + (CASE WHEN is_key THEN 0 ELSE random() * 86400 END) * interval '1 second';
BEGIN
    RETURN CASE type
        WHEN 'int2' THEN CASE WHEN is_key THEN n WHEN random() < 0.1 THEN -32768 ELSE random_work.below(3000) END::text
        WHEN 'int4' THEN CASE WHEN is_key THEN n WHEN random() < 0.1 THEN 2147483647 ELSE random_work.below(3000) END::text
        WHEN 'int8' THEN CASE WHEN is_key THEN n WHEN random() < 0.1 THEN 9223372036854775807 ELSE n * 77777777 END::text
        WHEN 'numeric' THEN CASE WHEN is_key THEN (n / 4.0)::text ELSE random_work.number_of(modifier) END
        WHEN 'money' THEN random_work.number_of(((12 << 16) | 2) + 4)
        WHEN 'float4' THEN random_work.one_of(n::text, (n / 7.0)::real::text, 'NaN', '-Infinity', '1e-30')
        WHEN 'float8' THEN random_work.one_of(n::text, (random() * 1e6)::text, 'Infinity', '-0.1', '5e-324')
        WHEN 'bool' THEN random_work.one_of('true', 'false')
        WHEN 'text' THEN CASE WHEN is_key THEN random_work.text_key(n) ELSE random_work.words() END
        WHEN 'varchar' THEN
            left(CASE WHEN is_key THEN random_work.text_key(n) ELSE random_work.words() END, nullif(modifier, -1) - 4)
        WHEN 'oid' THEN (n * 100000000::bigint)::text
        WHEN 'char' THEN chr(65 + n % 26)
        WHEN 'name' THEN 'name ' || n
        WHEN 'bpchar' THEN
            CASE
                -- The wanted number of characters or less.
                WHEN is_key THEN left(chr(65 + n % 20) || chr(66 + n % 3) || n, modifier - 4)
                ELSE left(random_work.words(), 1 + random_work.below(modifier - 4))
            END
        WHEN 'date' THEN CASE WHEN NOT is_key AND n = 0 THEN 'infinity' ELSE at::date::text END
        WHEN 'time' THEN at::time::text
        WHEN 'timetz' THEN at::time::text || random_work.one_of('+03', '-08:30', '+00')
        WHEN 'timestamp' THEN CASE WHEN NOT is_key AND n = 0 THEN '-infinity' ELSE at::text END
        WHEN 'timestamptz' THEN CASE WHEN NOT is_key AND n = 0 THEN 'infinity' ELSE at::text || random_work.one_of('+00', '+05') END
        -- Fractions of a second that a double holds: an event is made by computing in doubles.
        WHEN 'interval' THEN random_work.below(30) - 5 || ' mons ' || n - 9 || ' days ' || n * 997 + 0.25 || ' seconds'
        WHEN 'bit' THEN (SELECT string_agg(random_work.below(2)::text, '') FROM generate_series(1, modifier))
        WHEN 'varbit' THEN (SELECT string_agg(random_work.below(2)::text, '') FROM generate_series(1, greatest(1, modifier)))
        WHEN 'bytea' THEN '\x' || CASE WHEN n = 0 THEN replace(random_work.long_text(), ' ', '') ELSE left(md5(n::text), n / 2 * 2 % 32) END
        WHEN 'uuid' THEN md5(CASE WHEN is_key THEN n::text ELSE random()::text END)
        WHEN 'json' THEN random_work.one_of('{"b": 1, "a": [null, "ü"]}', '[1.50, {"x": {}}]', 'null', '"text"')
        WHEN 'jsonb' THEN
            CASE
                WHEN n = 0 THEN jsonb_build_object('long', random_work.long_text())
                ELSE jsonb_build_object('n', n, 'list', jsonb_build_array(NULL, random() < 0.5, '"\'), 'number', 1.50 * n)
            END::text
        WHEN 'xml' THEN format('<row n="%s"><part>ü &amp; %s</part></row>', n, CASE WHEN n = 0 THEN random_work.long_text() ELSE 'x' END)
        WHEN 'int4range' THEN random_work.range_of(n::text, (n + random_work.below(50))::text)
        WHEN 'int8range' THEN random_work.range_of(n::text, (n * 77777777::bigint)::text)
        WHEN 'numrange' THEN random_work.range_of((n / 8.0)::text, (n + 0.5)::text)
        WHEN 'daterange' THEN random_work.range_of(at::date::text, (at::date + n)::text)
        WHEN 'tsrange' THEN random_work.range_of('"' || at || '"', '"' || at + n * interval '1 hour' || '"')
        WHEN 'tstzrange' THEN random_work.range_of('"' || at || '+00"', '"' || at + n * interval '1 hour' || '+00"')
        WHEN 'inet' THEN random_work.one_of('10.0.0.' || n, '10.0.' || n || '.0/24', '::1', 'fe80::' || n || '/64')
        WHEN 'macaddr' THEN '08:00:2b:01:02:' || lpad(n::text, 2, '0')
        WHEN 'point' THEN format('(%s,%s)', n / 4.0, -random_work.below(90))
        WHEN 'tsvector' THEN to_tsvector('simple', 'some words ' || n || ' and ' || random_work.below(9))::text
    END;
END
$$;

-- A value of a type, as text. A domain's checks are not understood, but tried.
CREATE FUNCTION random_work.value(of_type oid, modifier integer, is_key boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    type pg_type;
    found text;
BEGIN
    SELECT * INTO STRICT type FROM pg_type WHERE oid = of_type;
    IF type.typtype = 'e' THEN
        SELECT enumlabel INTO found FROM pg_enum WHERE enumtypid = of_type ORDER BY md5(enumlabel || random_work.below(1000000)) LIMIT 1;
    ELSIF type.typtype = 'd' THEN
        FOR i IN 1 .. 200 LOOP
            found := random_work.value(type.typbasetype, type.typtypmod, is_key);
            BEGIN
                EXECUTE format('SELECT %L::%s', found, of_type::regtype);
                RETURN found;
            EXCEPTION WHEN check_violation THEN CONTINUE;
            END;
        END LOOP;
        RAISE 'no value of the domain % passes its checks', of_type::regtype;
    ELSIF type.typcategory = 'A' THEN
        SELECT coalesce(array_agg(CASE WHEN i = 3 THEN NULL ELSE random_work.value(type.typelem, modifier, is_key) END)::text, '{}')
        INTO found FROM generate_series(1, random_work.below(5)) AS i;
    ELSE
        found := random_work.plain_value(type.typname, modifier, is_key);
    END IF;
    IF found IS NULL THEN
        RAISE 'there is no random value of the type %', of_type::regtype;
    END IF;
    RETURN found;
END
$$;
