-- Random work on whatever tables are published: inserts, updates of values, of keys and of foreign keys, rows that move
-- between partitions, NULLs, deletes.
--
-- Everything follows from the catalog. A value is one of its column's type; a foreign key gets the key of a row that is
-- there. What a constraint forbids is taken back and tried again with other values. The table random_work.tally counts
-- for each table and kind of statement how many succeeded, and how many found no way. A kind is in it when the table
-- has the columns for it. The same seed on the same rows does the same, wherever the rows are stored.

-- Tables with the columns that tell their rows apart for events, and the columns that choose a row's partition.
CREATE TABLE random_work.tables AS
SELECT row_number() OVER (ORDER BY p.schemaname, p.tablename)::integer AS number,
       c.oid::regclass AS relation,
       (SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM pg_index AS i
        CROSS JOIN unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, place)
        JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number
        WHERE i.indrelid = c.oid
          AND i.indexrelid = (
              SELECT x.indexrelid FROM pg_index AS x
              WHERE x.indrelid = c.oid AND (x.indisprimary OR x.indisreplident)
              ORDER BY x.indisprimary DESC LIMIT 1
          )) AS key,
       (SELECT array_agg(DISTINCT a.attname::text)
        FROM pg_partition_tree(c.oid) AS t
        JOIN pg_partitioned_table AS d ON d.partrelid = t.relid
        CROSS JOIN unnest(d.partattrs::smallint[]) AS k (number)
        JOIN pg_attribute AS a ON a.attrelid = d.partrelid AND a.attnum = k.number) AS parted_by
FROM (SELECT DISTINCT schemaname, tablename FROM pg_publication_tables) AS p
JOIN pg_namespace AS n ON n.nspname = p.schemaname
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = p.tablename;

-- The columns that can be written.
CREATE TABLE random_work.columns AS
SELECT t.relation, a.attnum AS number, a.attname::text AS name, a.atttypid AS type, a.atttypmod AS modifier,
       format_type(a.atttypid, a.atttypmod) AS printed,
       NOT (a.attnotnull OR y.typnotnull) AS is_nullable,
       a.attname = ANY (t.key) AS is_key, a.attidentity = 'a' AS is_fixed,
       -- A default that is a time or a random value is never asked for: it would be another one each time.
       a.attidentity <> ''
       OR a.atthasdef AND y.typcategory NOT IN ('D', 'U') AS has_default
FROM random_work.tables AS t
JOIN pg_attribute AS a ON a.attrelid = t.relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
JOIN pg_type AS y ON y.oid = a.atttypid;

-- Foreign keys, those without a nullable column first.
CREATE TABLE random_work.refers AS
SELECT row_number() OVER (ORDER BY c.conrelid::regclass::text, bool_or(l.is_nullable), c.conname)::integer AS number,
       t.relation, c.confrelid::regclass AS target, bool_or(l.is_nullable) AS is_nullable, bool_and(l.is_key) AS is_key,
       array_agg(l.name ORDER BY k.place) AS columns, array_agg(r.attname::text ORDER BY k.place) AS target_columns
FROM random_work.tables AS t
JOIN pg_constraint AS c ON c.conrelid = t.relation AND c.contype = 'f' AND c.conparentid = 0
CROSS JOIN unnest(c.conkey, c.confkey) WITH ORDINALITY AS k (own, other, place)
JOIN random_work.columns AS l ON l.relation = t.relation AND l.number = k.own
JOIN pg_attribute AS r ON r.attrelid = c.confrelid AND r.attnum = k.other
GROUP BY t.relation, c.oid, c.conrelid, c.confrelid, c.conname;

CREATE TABLE random_work.tally (
    relation regclass,
    kind text,
    succeeded bigint NOT NULL,
    failed bigint NOT NULL,
    last_error text,
    PRIMARY KEY (relation, kind)
);

-- The condition that columns have these values; NULL is one of them.
CREATE FUNCTION random_work.has(of_relation regclass, wanted jsonb) RETURNS text LANGUAGE sql STABLE AS $$
SELECT coalesce(string_agg(format('%I IS NOT DISTINCT FROM %L::%s', c.name, wanted ->> c.name, c.printed), ' AND '), 'true')
FROM random_work.columns AS c
WHERE c.relation = of_relation AND wanted ? c.name
$$;

-- Some columns of a row that meets a condition, whichever, as an object of texts; NULL when there is none.
CREATE FUNCTION random_work.row_of(relation regclass, columns text[], condition text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    texts text := (SELECT string_agg(format('%I::text', name), ', ') FROM unnest(columns) AS name);
    found jsonb;
BEGIN
    -- The order is that of a digest of values, and not that of the storage.
    EXECUTE format('SELECT jsonb_object(%L, ARRAY[%s]) FROM %s WHERE %s ORDER BY md5(ARRAY[%s]::text || %L) LIMIT 1',
                   columns, texts, relation, condition, texts, random())
    INTO found;
    RETURN found;
END
$$;

-- Values for a foreign key's columns, of which some are decided; NULL when no row can be referred to.
CREATE FUNCTION random_work.parent(refers random_work.refers, decided jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    wanted jsonb;
    found jsonb;
BEGIN
    SELECT coalesce(jsonb_object_agg(k.target, decided -> k.own), '{}') INTO wanted
    FROM unnest(refers.columns, refers.target_columns) AS k (own, target)
    WHERE decided ->> k.own IS NOT NULL;
    found := random_work.row_of(refers.target, refers.target_columns, random_work.has(refers.target, wanted));
    RETURN (SELECT jsonb_object_agg(k.own, found -> k.target)
            FROM unnest(refers.columns, refers.target_columns) AS k (own, target)
            WHERE found IS NOT NULL);
END
$$;

-- Decides the columns of some foreign keys, besides what is decided. NULL when a row that has to be there is not.
CREATE FUNCTION random_work.decide(of_relation regclass, numbers integer[], decided jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    refers random_work.refers;
    found jsonb;
BEGIN
    FOR refers IN SELECT r.* FROM random_work.refers AS r WHERE r.number = ANY (numbers) ORDER BY r.number LOOP
        found := random_work.parent(refers, decided);
        IF refers.is_nullable AND (found IS NULL OR random() < 0.2) THEN
            SELECT jsonb_object_agg(c.name, NULL) INTO found
            FROM random_work.columns AS c
            WHERE c.relation = of_relation AND c.name = ANY (refers.columns) AND c.is_nullable;
        ELSIF found IS NULL THEN
            RETURN NULL;
        END IF;
        decided := found || decided;
    END LOOP;
    RETURN decided;
END
$$;

-- New values for some columns of a row that has this key, and for what refers together with them. NULL as `decide`.
CREATE FUNCTION random_work.new_values(of_relation regclass, names text[], key jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    numbers integer[] := ARRAY(SELECT r.number FROM random_work.refers AS r WHERE r.relation = of_relation AND r.columns && names);
    kept jsonb := key - names;
    decided jsonb := random_work.decide(of_relation, numbers, kept);
    c random_work.columns;
BEGIN
    FOR c IN SELECT * FROM random_work.columns AS o WHERE o.relation = of_relation AND o.name = ANY (names) ORDER BY o.number LOOP
        CONTINUE WHEN decided IS NULL OR decided ? c.name;
        IF c.is_nullable AND random() < 0.15 THEN
            decided := decided || jsonb_build_object(c.name, NULL);
        ELSE
            decided := decided || jsonb_build_object(c.name, random_work.value(c.type, c.modifier, c.is_key));
        END IF;
    END LOOP;
    RETURN decided - ARRAY(SELECT jsonb_object_keys(kept));
END
$$;

-- The columns that a kind of statement changes. None when the kind is not for this table.
CREATE FUNCTION random_work.changed(of_relation regclass, kind text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    free text[] := ARRAY(SELECT c.name FROM random_work.columns AS c WHERE c.relation = of_relation AND NOT c.is_fixed ORDER BY c.number);
    keys text[] := (SELECT t.key FROM random_work.tables AS t WHERE t.relation = of_relation);
    found text[];
BEGIN
    CASE kind
        WHEN 'null' THEN
            found := ARRAY(SELECT c.name FROM random_work.columns AS c WHERE c.relation = of_relation AND c.is_nullable AND NOT c.is_fixed);
            RETURN array_remove(ARRAY[found[1 + random_work.below(cardinality(found))]], NULL);
        WHEN 'update' THEN
            found := ARRAY(
                SELECT name FROM unnest(free) AS name
                WHERE name <> ALL (keys)
                  AND NOT EXISTS (SELECT FROM random_work.refers AS r WHERE r.relation = of_relation AND name = ANY (r.columns))
                ORDER BY md5(name || random_work.below(1000000))
            );
            RETURN found[1:1 + random_work.below(3)];
        WHEN 'refer' THEN
            SELECT ARRAY(SELECT name FROM unnest(r.columns) AS name WHERE name = ANY (free) AND name <> ALL (keys)) INTO found
            FROM random_work.refers AS r
            WHERE r.relation = of_relation AND NOT r.is_key
            ORDER BY md5(r.number::text || random_work.below(1000000)) LIMIT 1;
            RETURN found;
        WHEN 'rekey' THEN
            found := ARRAY(SELECT name FROM unnest(keys) AS name WHERE name = ANY (free));
            RETURN array_remove(ARRAY[found[1 + random_work.below(cardinality(found))]], NULL);
        WHEN 'move' THEN
            RETURN (SELECT t.parted_by FROM random_work.tables AS t WHERE t.relation = of_relation);
    END CASE;
END
$$;

-- One statement. Raises what the server says, or no_data_found when there is nothing to do it with.
CREATE FUNCTION random_work.execute(of_table random_work.tables, kind text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    key jsonb;
    new jsonb;
    target text;
    names text[];
    place oid;
    new_place oid;
    touched bigint;
BEGIN
    IF kind = 'insert' THEN
        names := ARRAY(
            SELECT c.name FROM random_work.columns AS c
            WHERE c.relation = of_table.relation
              AND NOT (c.has_default AND random() < 0.2)
        );
        new := random_work.new_values(of_table.relation, names, '{}');
        IF new IS NULL THEN
            RAISE no_data_found USING MESSAGE = 'no row to refer to';
        END IF;
        EXECUTE (
            SELECT format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE VALUES (%s)', of_table.relation,
                          string_agg(quote_ident(c.name), ', '),
                          string_agg(format('%L::%s', new ->> c.name, c.printed), ', '))
            FROM random_work.columns AS c
            WHERE c.relation = of_table.relation AND new ? c.name
        );
        RETURN;
    END IF;
    key := random_work.row_of(of_table.relation, of_table.key, 'true');
    IF key IS NULL THEN
        RAISE no_data_found USING MESSAGE = 'no row';
    END IF;
    target := random_work.has(of_table.relation, key);
    IF kind = 'delete' THEN
        EXECUTE format('DELETE FROM %s WHERE %s', of_table.relation, target);
        RETURN;
    END IF;
    names := random_work.changed(of_table.relation, kind);
    new := CASE kind
               WHEN 'null' THEN jsonb_build_object(names[1], NULL)
               ELSE random_work.new_values(of_table.relation, names, key)
           END;
    IF new IS NULL THEN
        RAISE no_data_found USING MESSAGE = 'no row to refer to';
    ELSIF kind = 'rekey' AND new ->> names[1] = key ->> names[1] THEN
        RAISE no_data_found USING MESSAGE = 'no new key';
    END IF;
    -- Now and then several rows at once.
    IF kind = 'update' AND random() < 0.3 THEN
        target := format('hashtext(ARRAY[%s]::text || %L) %% 3 = 0 OR %s',
                         (SELECT string_agg(quote_ident(name) || '::text', ', ') FROM unnest(of_table.key) AS name), random(), target);
    END IF;
    EXECUTE format('SELECT tableoid FROM %s WHERE %s LIMIT 1', of_table.relation, target) INTO place;
    EXECUTE (
        SELECT format('UPDATE %s SET %s WHERE %s RETURNING tableoid', of_table.relation,
                      string_agg(format('%I = %L::%s', c.name, new ->> c.name, c.printed), ', '), target)
        FROM random_work.columns AS c
        WHERE c.relation = of_table.relation AND new ? c.name
    ) INTO new_place;
    GET DIAGNOSTICS touched = ROW_COUNT;
    IF touched = 0 THEN
        RAISE no_data_found USING MESSAGE = 'no row was updated';
    ELSIF kind = 'move' AND place = new_place THEN
        RAISE no_data_found USING MESSAGE = 'the row stays in its partition';
    END IF;
END
$$;

-- One statement, tried with other values and other rows until the constraints let it pass.
CREATE FUNCTION random_work.attempt(of_table random_work.tables, of_kind text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    done boolean := false;
    error text;
BEGIN
    FOR i IN 1 .. 8 LOOP
        BEGIN
            PERFORM random_work.execute(of_table, of_kind);
            done := true;
            EXIT;
        EXCEPTION
            -- What a constraint refuses, what a type or an index cannot take, and where no row is.
            WHEN integrity_constraint_violation OR data_exception OR program_limit_exceeded OR no_data_found THEN
            error := SQLERRM;
        END;
    END LOOP;
    INSERT INTO random_work.tally AS t
    VALUES (of_table.relation, of_kind, done::integer, (NOT done)::integer, error)
    ON CONFLICT (relation, kind) DO UPDATE
    SET succeeded = t.succeeded + excluded.succeeded,
        failed = t.failed + excluded.failed,
        last_error = coalesce(excluded.last_error, t.last_error);
END
$$;

-- So many statements on random tables, in the transaction of the caller.
CREATE FUNCTION random_work.run(seed integer, statements integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    of_table random_work.tables;
    kinds text[];
    chosen integer;
    rows bigint;
BEGIN
    PERFORM setseed((seed::bigint * 7919 % 100003) / 100003.0);
    -- A statement whose error came with the commit would take the others with it.
    SET CONSTRAINTS ALL IMMEDIATE;
    FOR i IN 1 .. statements LOOP
        chosen := 1 + random_work.below((SELECT count(*)::integer FROM random_work.tables));
        SELECT t.* INTO STRICT of_table FROM random_work.tables AS t WHERE t.number = chosen;
        EXECUTE 'SELECT count(*) FROM ' || of_table.relation INTO rows;
        kinds := ARRAY(
            SELECT kind FROM unnest(ARRAY['update', 'null', 'refer', 'rekey', 'move']) AS kind
            WHERE cardinality(random_work.changed(of_table.relation, kind)) > 0
        );
        -- Tables grow to some forty rows.
        kinds := kinds || CASE WHEN rows < 12 THEN ARRAY['insert', 'insert', 'insert', 'insert']
                               WHEN rows < 40 THEN ARRAY['insert', 'insert', 'delete']
                               ELSE ARRAY['delete', 'delete', 'delete', 'delete'] END;
        PERFORM random_work.attempt(of_table, kinds[1 + random_work.below(cardinality(kinds))]);
    END LOOP;
END
$$;
