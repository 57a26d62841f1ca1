-- The refresh of the star schema.
-- Invariant: after SELECT * FROM dwh_marts.refresh_star() every table of the star equals its view in the snapshot of the
-- transaction; readers see the old state or the new one, never anything between. Rows that did not change are not
-- written. Two refreshes never run at once: the second does nothing and says "busy".
--
-- It has to be called in a transaction of isolation level REPEATABLE READ, because all its statements have to see one
-- state of the vault:
--     BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM dwh_marts.refresh_star(); COMMIT;
-- A call that took its snapshot before another refresh had committed ends with a serialization failure (40001): try again.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

BEGIN;

CREATE TABLE IF NOT EXISTS dwh_marts.mart_refreshes (
    only_row         boolean          NOT NULL DEFAULT true,
    refreshed_at     timestamptz      NOT NULL,
    outcome          text             NOT NULL,
    reason           text,
    records          bigint           NOT NULL,
    rows_changed     bigint           NOT NULL,
    duration_ms      double precision NOT NULL,
    source_committed timestamptz,
    changed_at       timestamptz,
    refreshes        bigint           NOT NULL,
    CONSTRAINT mart_refreshes_pkey PRIMARY KEY (only_row),
    CONSTRAINT mart_refreshes_only_row_check CHECK (only_row)
);
COMMENT ON TABLE dwh_marts.mart_refreshes IS 'the last refresh of the star schema; one row, none before the first refresh';
COMMENT ON COLUMN dwh_marts.mart_refreshes.only_row IS 'true';
COMMENT ON COLUMN dwh_marts.mart_refreshes.refreshed_at IS 'moment whose state of the vault the star shows';
COMMENT ON COLUMN dwh_marts.mart_refreshes.outcome IS 'idle (nothing had come), incremental, or full';
COMMENT ON COLUMN dwh_marts.mart_refreshes.reason IS 'of a full refresh: why';
COMMENT ON COLUMN dwh_marts.mart_refreshes.records IS 'Kafka records that had come since the refresh before';
COMMENT ON COLUMN dwh_marts.mart_refreshes.rows_changed IS 'rows inserted, updated or deleted in the star';
COMMENT ON COLUMN dwh_marts.mart_refreshes.duration_ms IS 'how long it took, milliseconds, without the commit';
COMMENT ON COLUMN dwh_marts.mart_refreshes.source_committed IS 'commit time at the source of the newest event in the star';
COMMENT ON COLUMN dwh_marts.mart_refreshes.changed_at IS 'last refresh that changed a row';
COMMENT ON COLUMN dwh_marts.mart_refreshes.refreshes IS 'how many refreshes there have been';

-- Locks a table for this transaction alone, if nobody reads it now. A refresh that waited for one table while it holds
-- another would deadlock with a query of both.
CREATE OR REPLACE FUNCTION dwh_star.lock_if_free(target regclass)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE NOWAIT', target);
    RETURN true;
EXCEPTION
    WHEN lock_not_available THEN
        RETURN false;
END
$$;
COMMENT ON FUNCTION dwh_star.lock_if_free(regclass) IS
    'locks a table for this transaction alone; false when somebody uses the table';

-- Fills an empty table, which has to be locked. Keys are hashes, so an index that grows with the rows is written all over: 800 000 segments with
-- three indexes took 36 s of processor time, and 16 s when the indexes were made afterwards. Whoever reads the table waits
-- until the transaction ends.
CREATE OR REPLACE FUNCTION dwh_star.fill(target regclass, source regclass, columns text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET maintenance_work_mem = '256MB'
AS $$
DECLARE
    statements   text[];
    statement    text;
    rows_changed bigint;
BEGIN
    SELECT array_agg(definition)
    INTO statements
    FROM (
        SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', target, conname, pg_get_constraintdef(oid)) AS definition
        FROM pg_constraint
        WHERE conrelid = target
            AND contype = 'p'
        UNION ALL
        SELECT pg_get_indexdef(indexrelid)
        FROM pg_index
        WHERE indrelid = target
            AND NOT indisprimary
    ) AS made_afterwards;
    FOR statement IN
        SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', target, conname)
        FROM pg_constraint
        WHERE conrelid = target
            AND contype = 'p'
        UNION ALL
        SELECT format('DROP INDEX %s', indexrelid::regclass)
        FROM pg_index
        WHERE indrelid = target
            AND NOT indisprimary
    LOOP
        EXECUTE statement;
    END LOOP;
    EXECUTE format('INSERT INTO %1$s (%2$s) SELECT %2$s FROM %3$s', target, columns, source);
    GET DIAGNOSTICS rows_changed = ROW_COUNT;
    FOREACH statement IN ARRAY statements LOOP
        EXECUTE statement;
    END LOOP;
    EXECUTE format('ANALYZE %s', target);
    RETURN rows_changed;
END
$$;
COMMENT ON FUNCTION dwh_star.fill(regclass, regclass, text) IS
    'fills an empty table from its view and makes its indexes afterwards; answers how many rows there are';

-- Makes the rows of a table equal to those of its view: of the named keys, or all of them when there is no list. The
-- planner is told which of the two it is, because it cannot know how few rows the latest versions of few keys are.
CREATE OR REPLACE FUNCTION dwh_star.apply(target regclass, source regclass, restricted_by text, keys bytea[])
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    columns      text;
    primary_key  text;
    restriction  text := '';
    is_empty     boolean;
    rows_changed bigint;
BEGIN
    IF keys = '{}' THEN
        RETURN 0;
    END IF;
    -- So many keys are better gone through in the order of the table.
    IF cardinality(keys) > 50000 THEN
        keys := NULL;
    END IF;
    PERFORM set_config('enable_nestloop', CASE WHEN keys IS NULL THEN 'off' ELSE 'on' END, true);
    PERFORM set_config('enable_mergejoin', CASE WHEN keys IS NULL THEN 'on' ELSE 'off' END, true);
    PERFORM set_config('enable_seqscan', CASE WHEN keys IS NULL THEN 'on' ELSE 'off' END, true);
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum)
    INTO columns
    FROM pg_attribute
    WHERE attrelid = target
        AND attnum > 0
        AND NOT attisdropped;
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum)
    INTO primary_key
    FROM pg_constraint
    JOIN pg_attribute
        ON attrelid = conrelid
        AND attnum = ANY (conkey)
    WHERE conrelid = target
        AND contype = 'p';

    IF keys IS NULL THEN
        EXECUTE format('SELECT NOT EXISTS (SELECT FROM %s)', target) INTO is_empty;
        -- A table that is read meanwhile is filled with its indexes in place.
        IF is_empty AND dwh_star.lock_if_free(target) THEN
            RETURN dwh_star.fill(target, source, columns);
        END IF;
    ELSE
        restriction := format('%I = ANY ($1)', restricted_by);
    END IF;
    EXECUTE format(
        'WITH fresh AS MATERIALIZED (
             SELECT %2$s
             FROM %3$s
             %5$s
         ),
         gone AS (
             DELETE FROM %1$s AS old
             WHERE NOT EXISTS (SELECT FROM fresh WHERE (%4$s) = (%6$s))
                 %7$s
             RETURNING 1
         ),
         put AS (
             INSERT INTO %1$s AS old (%2$s)
             SELECT %2$s
             FROM fresh
             ON CONFLICT (%4$s) DO UPDATE SET (%2$s) = ROW (%8$s)
             WHERE (%9$s) IS DISTINCT FROM (%8$s)
             RETURNING 1
         )
         SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM put)',
        target,
        columns,
        source,
        primary_key,
        'WHERE ' || nullif(restriction, ''),
        regexp_replace(primary_key, '(^|, )', '\1old.', 'g'),
        'AND ' || nullif(restriction, ''),
        regexp_replace(columns, '(^|, )', '\1excluded.', 'g'),
        regexp_replace(columns, '(^|, )', '\1old.', 'g')
    )
    INTO rows_changed
    USING keys;
    IF keys IS NULL THEN
        EXECUTE format('ANALYZE %s', target);
    END IF;
    RETURN rows_changed;
END
$$;
COMMENT ON FUNCTION dwh_star.apply(regclass, regclass, text, bytea[]) IS
    'writes into a table the rows of its view that differ, for the keys or for all; answers how many rows it changed';

CREATE OR REPLACE FUNCTION dwh_star.refresh(
    forced boolean,
    OUT outcome text,
    OUT records bigint,
    OUT rows_changed bigint,
    OUT duration_ms double precision
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '64MB'
SET enable_nestloop = on
SET enable_mergejoin = on
SET enable_seqscan = on
AS $$
DECLARE
    -- Any number that nobody else uses.
    star_lock CONSTANT bigint := 8099000000017;
    records_max bigint;
    due record;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'the star is refreshed in a transaction of isolation level REPEATABLE READ only'
            USING ERRCODE = 'invalid_transaction_state',
                HINT = 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM dwh_marts.refresh_star(); COMMIT;';
    END IF;
    records := 0;
    rows_changed := 0;
    IF NOT pg_try_advisory_xact_lock(star_lock) THEN
        outcome := 'busy';
        duration_ms := 0;
        RETURN;
    END IF;

    -- A record costs as much as comparing some twenty rows of the star, of which a bit less than half are segments.
    SELECT greatest(5000, (reltuples / 8)::bigint)
    INTO records_max
    FROM pg_class
    WHERE oid = 'dwh_marts.fact_bookings'::regclass;
    SELECT * INTO due FROM dwh_star.pending(records_max);
    IF forced THEN
        due.everything := 'it was asked for';
    END IF;
    records := due.records;
    IF due.everything IS NOT NULL THEN
        outcome := 'full';
        due.flights := NULL;
        due.tickets := NULL;
        due.segments := NULL;
        due.customers := NULL;
        due.operations := NULL;
    ELSE
        outcome := CASE WHEN records = 0 THEN 'idle' ELSE 'incremental' END;
    END IF;
    IF due.cabins OR outcome = 'full' THEN
        rows_changed := rows_changed + dwh_star.apply('dwh_star.cabins', 'dwh_star.cabins_source', NULL, NULL);
        -- The seats of a model show in all its flights.
        due.operations := NULL;
    END IF;

    rows_changed := rows_changed
        + dwh_star.apply('dwh_marts.dim_flight', 'dwh_star.flights', 'flight_key', due.flights)
        + dwh_star.apply('dwh_star.tickets', 'dwh_star.tickets_source', 'ticket_key', due.tickets);
    rows_changed := rows_changed
        + dwh_star.apply('dwh_marts.fact_bookings', 'dwh_star.bookings', 'segment_key', due.segments);
    rows_changed := rows_changed
        + dwh_star.apply('dwh_marts.dim_customer', 'dwh_star.customers', 'customer_key', due.customers)
        + dwh_star.apply('dwh_marts.fact_flight_operations', 'dwh_star.flight_operations', 'flight_key', due.operations)
        + dwh_star.apply('dwh_star.seat_steps', 'dwh_star.seat_steps_source', 'flight_key', due.operations);

    IF outcome = 'full' THEN
        DELETE FROM dwh_star.offsets AS seen
        WHERE NOT EXISTS (
            SELECT
            FROM dwh_control.offsets AS loaded
            WHERE loaded.topic = seen.topic
                AND loaded.partition = seen.partition
        );
        INSERT INTO dwh_star.state (only_row, model_id, parking_versions)
        SELECT
            true,
            max(model.id),
            (SELECT sum(loaded.parking_version)::bigint FROM dwh_control.offsets AS loaded)
        FROM dwh_control.models AS model
        ON CONFLICT ON CONSTRAINT state_pkey DO UPDATE SET
            model_id = excluded.model_id,
            parking_versions = excluded.parking_versions;
    END IF;
    INSERT INTO dwh_star.offsets (topic, partition, next_offset)
    SELECT moved.topic, moved.partition, moved.next_offset
    FROM dwh_star.moved AS moved
    ON CONFLICT ON CONSTRAINT offsets_pkey DO UPDATE SET next_offset = excluded.next_offset;
    INSERT INTO dwh_star.truncations (topic, source_lsn, epoch)
    SELECT truncation.topic, truncation.source_lsn, truncation.epoch
    FROM dwh_star.new_truncations AS truncation;

    duration_ms := round((extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1000)::numeric, 3);
    INSERT INTO dwh_marts.mart_refreshes AS last (
        refreshed_at, outcome, reason, records, rows_changed, duration_ms, source_committed, changed_at, refreshes
    )
    SELECT
        statement_timestamp(),
        refresh.outcome,
        due.everything,
        refresh.records,
        refresh.rows_changed,
        refresh.duration_ms,
        (SELECT max(loaded.source_committed) FROM dwh_control.offsets AS loaded),
        CASE WHEN refresh.rows_changed > 0 THEN statement_timestamp() END,
        1
    ON CONFLICT ON CONSTRAINT mart_refreshes_pkey DO UPDATE SET
        refreshed_at = excluded.refreshed_at,
        outcome = excluded.outcome,
        reason = excluded.reason,
        records = excluded.records,
        rows_changed = excluded.rows_changed,
        duration_ms = excluded.duration_ms,
        source_committed = excluded.source_committed,
        changed_at = coalesce(excluded.changed_at, last.changed_at),
        refreshes = last.refreshes + 1;
END
$$;
COMMENT ON FUNCTION dwh_star.refresh(boolean) IS 'brings the star up to date; forced: without trust in what is remembered';

CREATE OR REPLACE FUNCTION dwh_marts.refresh_star(
    OUT outcome text,
    OUT records bigint,
    OUT rows_changed bigint,
    OUT duration_ms double precision
)
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT outcome, records, rows_changed, duration_ms
    FROM dwh_star.refresh(false)
$$;
COMMENT ON FUNCTION dwh_marts.refresh_star() IS
    'brings the star schema up to date with the vault; answers with what it did: idle, incremental, full, or busy when another refresh runs';

CREATE OR REPLACE FUNCTION dwh_marts.rebuild_star(
    OUT outcome text,
    OUT records bigint,
    OUT rows_changed bigint,
    OUT duration_ms double precision
)
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT outcome, records, rows_changed, duration_ms
    FROM dwh_star.refresh(true)
$$;
COMMENT ON FUNCTION dwh_marts.rebuild_star() IS
    'compares the whole star schema with the vault and writes what differs, whatever is remembered; for an operator who moved offsets by hand';

-- For dwh_checks.star_equals_vault: each row of the star that is not what its view says, although nothing that waits explains it.
CREATE OR REPLACE FUNCTION dwh_star.differences(OUT table_name text, OUT detail text)
RETURNS SETOF record
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '64MB'
SET enable_nestloop = off
AS $$
DECLARE
    due record;
    pair record;
BEGIN
    SELECT * INTO due FROM dwh_star.pending();
    IF due.everything IS NOT NULL THEN
        RETURN;
    END IF;
    FOR pair IN
        SELECT *
        FROM (
            VALUES
                ('dwh_star.cabins', 'dwh_star.cabins_source', 'aircraft_code, fare_conditions', NULL, NULL, NOT due.cabins),
                ('dwh_marts.dim_flight', 'dwh_star.flights', 'flight_key', 'flight_key', due.flights, true),
                ('dwh_star.tickets', 'dwh_star.tickets_source', 'ticket_key', 'ticket_key', due.tickets, true),
                ('dwh_marts.fact_bookings', 'dwh_star.bookings', 'segment_key', 'segment_key', due.segments, true),
                ('dwh_marts.dim_customer', 'dwh_star.customers', 'customer_key', 'customer_key', due.customers, true),
                (
                    'dwh_marts.fact_flight_operations', 'dwh_star.flight_operations', 'flight_key', 'flight_key',
                    due.operations, NOT due.cabins
                ),
                (
                    'dwh_star.seat_steps', 'dwh_star.seat_steps_source', 'flight_key, fare_conditions, from_date', 'flight_key',
                    due.operations, NOT due.cabins
                )
        ) AS listed (shown_name, wanted_name, primary_key, restricted_by, keys, is_comparable)
        WHERE is_comparable
    LOOP
        RETURN QUERY EXECUTE format(
            'SELECT
                 %1$L,
                 CASE
                     WHEN shown IS NOT DISTINCT FROM NULL THEN ''the star lacks '' || wanted::text
                     WHEN wanted IS NOT DISTINCT FROM NULL THEN ''the vault does not have '' || shown::text
                     ELSE ''the star has '' || shown::text || '', the vault '' || wanted::text
                 END
             FROM %2$s AS shown
             FULL JOIN %3$s AS wanted USING (%4$s)
             WHERE wanted IS DISTINCT FROM shown
                 %5$s',
            split_part(pair.shown_name, '.', 2),
            pair.shown_name,
            pair.wanted_name,
            pair.primary_key,
            'AND NOT ' || pair.restricted_by || ' = ANY ($1)'
        )
        USING pair.keys;
    END LOOP;
END
$$;
COMMENT ON FUNCTION dwh_star.differences() IS
    'rows of the star that differ from their views in a way that the next refresh would not mend; none before the first refresh';

COMMIT;
